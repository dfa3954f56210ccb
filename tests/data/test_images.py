import io
import os
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from lesionwise.data.images import MAX_BYTES, MAX_PIXELS, fit_image, read_content, read_image
from lesionwise.errors import ImageError

SIZE = (45, 60)


def smooth(height: int = 450, width: int = 600) -> Image.Image:
    """A picture with a different colour in each corner."""
    y, x = np.mgrid[0:height, 0:width] / np.array([height, width]).reshape(2, 1, 1)
    return Image.fromarray(np.stack([200 * x, 200 * y, 100 + 80 * x * y], axis=-1).astype(np.uint8))


def encode(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def difference(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a.astype(int) - b.astype(int)).mean())


def test_the_result_has_the_size_that_was_asked_for() -> None:
    for height, width in ((450, 600), (600, 450), (500, 500), (20, 30), (301, 407)):
        pixels = read_image(encode(smooth(height, width)), SIZE)
        assert pixels.shape == (*SIZE, 3)
        assert pixels.dtype == np.uint8


def test_a_jpeg_decoded_at_a_smaller_scale_looks_like_one_resized() -> None:
    expected = smooth().resize(SIZE[::-1], Image.Resampling.BICUBIC)
    assert difference(read_image(encode(smooth(), "JPEG", quality=95), SIZE), np.asarray(expected)) < 2


def test_png_and_jpeg_of_one_picture_agree() -> None:
    png = read_image(encode(smooth()), SIZE)
    assert difference(read_image(encode(smooth(), "JPEG", quality=98), SIZE), png) < 2


def noisy(height: int, width: int) -> Image.Image:
    """A picture with detail at every scale, grey, so that no colour is stored at half the resolution."""
    rng = np.random.default_rng(3)
    picture = np.full((height, width), 128.0)
    for size in (2, 4, 8, 16, 32, 64):
        grain = rng.normal(0, 12, (height // size + 2, width // size + 2))
        picture += np.kron(grain, np.ones((size, size)))[:height, :width]
    return Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8))


@pytest.mark.parametrize("size", [(270, 360), (360, 480), (225, 300), (96, 128), (45, 60)], ids=str)
@pytest.mark.parametrize("sides", [(450, 600), (448, 600), (600, 450), (1000, 1333)], ids=str)
def test_a_png_is_read_as_a_jpeg_of_the_same_pixels(size: tuple[int, int], sides: tuple[int, int]) -> None:
    jpeg = encode(noisy(*sides), "JPEG", quality=95)
    decoded = Image.open(io.BytesIO(jpeg)).convert("RGB")
    from_png, from_jpeg = read_image(encode(decoded), size), read_image(jpeg, size)
    assert difference(from_png, from_jpeg) < 0.3
    np.testing.assert_array_equal(fit_image(np.asarray(decoded), size), from_png)


def test_a_jpeg_with_stray_bytes_is_read_as_without_them_where_its_sides_are_no_multiples_of_eight() -> None:
    content = encode(noisy(450, 600), "JPEG", quality=95)
    frame = content.index(b"\xff\xc0")
    stray = content[:frame] + b"\x00\x00" + content[frame:]
    for size in ((113, 150), (45, 60), (270, 360)):
        assert difference(read_image(stray, size), read_image(content, size)) < 0.3


def test_a_file_and_its_bytes_read_the_same(tmp_path: Path) -> None:
    content = encode(smooth(), "JPEG")
    (tmp_path / "a.jpg").write_bytes(content)
    assert np.array_equal(read_image(tmp_path / "a.jpg", SIZE), read_image(content, SIZE))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_a_rotated_photograph_is_read_as_the_camera_held_it(orientation: int, kind: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = smooth(400, 300)
    options = {"quality": 97} if kind == "JPEG" else {}
    content = encode(stored, kind, exif=exif, **options)
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(content))).convert("RGB")
    assert difference(read_image(content, SIZE), read_image(encode(upright), SIZE)) < 2


def test_a_square_picture_is_cut_at_its_centre_and_not_squeezed() -> None:
    pixels = np.zeros((400, 400, 3), np.uint8)
    pixels[50:350] = 255  # the box of 4:3 keeps these 300 rows
    read = read_image(encode(Image.fromarray(pixels)), SIZE)
    assert read[1:-1].min() > 250  # the outermost rows mix with what was cut off
    assert read.min() > 150


def test_grey_sixteen_bit_palette_cmyk_and_transparent_pictures_are_read() -> None:
    grey = np.linspace(0, 255, 40 * 60).reshape(40, 60)
    expected = np.repeat(grey[..., None], 3, axis=2)
    sixteen = Image.fromarray((grey * 257).astype(np.uint16))
    for picture in (Image.fromarray(grey.astype(np.uint8)), sixteen):
        assert difference(read_image(encode(picture), (40, 60)), expected) < 1.5
    cmyk = read_image(encode(smooth().convert("CMYK"), "JPEG", quality=97), SIZE)
    assert difference(cmyk, read_image(encode(smooth()), SIZE)) < 4
    assert read_image(encode(smooth().quantize(64)), SIZE).shape == (*SIZE, 3)
    clear = Image.new("RGBA", (60, 45), (255, 0, 0, 0))
    assert read_image(encode(clear), SIZE).min() == 255


def test_stray_bytes_before_a_marker_are_no_damage() -> None:
    content = encode(smooth(), "JPEG", quality=90)
    frame = content.index(b"\xff\xc0")
    assert read_image(content[:frame] + b"\x00\x00" + content[frame:], SIZE).shape == (*SIZE, 3)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is not an image"),
        (b"<html>not here</html>", "is not an image"),
        (encode(smooth(), "JPEG")[:3000], "truncated|damaged|cannot be read"),
        (encode(smooth(), "PNG")[:200], "truncated|damaged|cannot be read"),
        (encode(Image.new("RGB", (1, 1))), "at least 8"),
        (encode(Image.new("RGB", (60_000, 2))), "at least 8"),
        (encode(Image.new("1", (9000, 9000))), "at most 64 megapixels"),
        (encode(smooth(20, 20), "GIF"), "is not an image of the formats"),
        (encode(Image.new("F", (20, 20)), "TIFF"), "32 bits a channel"),
        (encode(Image.new("I", (20, 20)), "TIFF"), "32 bits a channel"),
    ],
    ids=["empty", "html", "cut jpeg", "cut png", "one pixel", "stripe", "bomb", "gif", "float", "long"],
)
def test_what_is_no_usable_image_is_refused_with_the_reason(content: bytes, reason: str) -> None:
    with pytest.raises(ImageError, match=reason):
        read_image(content, SIZE)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="cannot be read"):
        read_image(tmp_path / "nothing.jpg", SIZE)


def test_pipes_folders_and_huge_files_are_refused_before_they_are_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    for path in (tmp_path, tmp_path / "pipe.jpg", Path("/dev/zero")):
        with pytest.raises(ImageError, match="is not a regular file"):
            read_content(path)
    with (tmp_path / "huge.jpg").open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    with pytest.raises(ImageError, match="the limit is 256"):
        read_content(tmp_path / "huge.jpg")


def test_the_pixel_limit_lets_a_twelve_megapixel_photograph_through() -> None:
    assert MAX_PIXELS > 4000 * 3000
    assert read_image(encode(smooth(3000, 4000), "JPEG"), SIZE).shape == (*SIZE, 3)


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")  # Pillow tells what it repairs in a TIFF
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_a_damaged_file_is_read_or_refused_but_never_crashes(data: st.DataObject) -> None:
    content = bytearray(
        encode(smooth(48, 64), data.draw(st.sampled_from(["JPEG", "PNG", "BMP", "TIFF", "WEBP"])))
    )
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    with suppress(ImageError):
        assert read_image(bytes(content), SIZE).shape == (*SIZE, 3)
