import io
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from lesionwise.data.damage import decode_jpeg
from lesionwise.data.images import read_image
from lesionwise.errors import DamagedImageError, ImageError, ImageSizeError

SIZE = (45, 60)
BLOCK = 4096
TRIES = 12


def photograph(height: int = 450, width: int = 600) -> Image.Image:
    """A picture with the noise of a sensor, which no encoder packs to a few bytes."""
    y, x = np.mgrid[0:height, 0:width]
    smooth = np.stack([x / 3, y / 2, (x + y) / 5], axis=-1)
    noise = np.random.default_rng(0).normal(0, 6, (height, width, 3))
    return Image.fromarray((smooth + noise).clip(0, 255).astype(np.uint8))


def encode(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def cut_out(content: bytes, at: int) -> bytes:
    return content[:at] + content[at + BLOCK :]


def zeroed(content: bytes, at: int) -> bytes:
    return content[:at] + bytes(BLOCK) + content[at + BLOCK :]


def second_half_gone(content: bytes, _: int) -> bytes:
    return content[: len(content) // 2] + content[-2:]


def truncated(content: bytes, at: int) -> bytes:
    return content[:at]


DAMAGES = (cut_out, zeroed, second_half_gone, truncated)
FORMATS: dict[str, tuple[str, dict[str, object]]] = {
    "JPEG": ("JPEG", {"quality": 90}),
    "optimised JPEG": ("JPEG", {"quality": 90, "optimize": True}),
    "progressive JPEG": ("JPEG", {"quality": 90, "progressive": True}),
    "JPEG with restarts": ("JPEG", {"quality": 90, "restart_marker_blocks": 16}),
    "CMYK JPEG": ("CMYK", {"quality": 90}),
    "PNG": ("PNG", {}),
    "WebP": ("WEBP", {"quality": 90}),
    "lossless WebP": ("WEBP", {"lossless": True, "method": 2}),
    "lossless WebP, packed well": ("WEBP", {"lossless": True, "method": 4}),
    "AVIF": ("AVIF", {"quality": 90, "speed": 9}),
    "deflated TIFF": ("TIFF", {"compression": "tiff_adobe_deflate"}),
    "JPEG in TIFF": ("TIFF", {"compression": "jpeg"}),
    "LZW TIFF": ("TIFF", {"compression": "tiff_lzw"}),
}


@pytest.fixture(scope="module", params=FORMATS)
def whole(request: pytest.FixtureRequest) -> bytes:
    kind, options = FORMATS[request.param]
    if kind == "CMYK":
        return encode(photograph().convert("CMYK"), "JPEG", **options)
    return encode(photograph(), kind, **options)


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")  # Pillow reports what it repairs in a TIFF
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_picture_with_missing_data_is_damaged_and_not_repaired(
    whole: bytes, damage: Callable[[bytes, int], bytes]
) -> None:
    read_image(whole, SIZE)
    places = np.random.default_rng(0).integers(1000, len(whole) - BLOCK - 100, TRIES)
    for at in places.tolist():
        with pytest.raises(ImageError):
            read_image(damage(whole, at), SIZE)


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_told_apart_from_a_file_of_another_format(damage: Callable[[bytes, int], bytes]) -> None:
    with pytest.raises(DamagedImageError, match="is damaged"):
        read_image(damage(encode(photograph(), "JPEG"), 9000), SIZE)
    with pytest.raises(ImageError) as caught:
        read_image(b"no image", SIZE)
    assert not isinstance(caught.value, DamagedImageError)
    with pytest.raises(ImageSizeError):
        read_image(encode(Image.new("RGB", (4, 4)), "PNG"), SIZE)


def test_stray_bytes_between_headers_and_zeros_before_the_end_are_no_damage() -> None:
    content = encode(photograph(), "JPEG", quality=90)
    expected = read_image(content, SIZE)
    frame = content.index(b"\xff\xc0")
    for strays in (b"\0\0", b"\x12\x34", b"\xff\xff"):
        assert np.array_equal(read_image(content[:frame] + strays + content[frame:], SIZE), expected)
    assert np.array_equal(read_image(content[:-2] + bytes(16) + content[-2:], SIZE), expected)


def test_stray_bytes_do_not_hide_the_damage_behind_them() -> None:
    content = encode(photograph(), "JPEG", quality=90)
    frame = content.index(b"\xff\xc0")
    with_strays = content[:frame] + b"\0\0" + content[frame:]
    for damage in DAMAGES:
        with pytest.raises(DamagedImageError):
            read_image(damage(with_strays, 9000), SIZE)


def test_pixels_left_over_before_the_end_marker_are_damage() -> None:
    content = encode(photograph(), "JPEG", quality=90)
    with pytest.raises(DamagedImageError, match="extraneous bytes"):
        read_image(content[:-2] + content[5000:5100] + content[-2:], SIZE)


def test_a_photograph_of_several_pictures_is_read_by_the_same_rule_as_one_alone() -> None:
    alone = encode(photograph(), "JPEG", quality=90)
    several = encode(photograph(), "MPO", quality=90, save_all=True, append_images=[photograph(90, 120)])
    assert Image.open(io.BytesIO(several)).format == "MPO"
    assert np.array_equal(read_image(several, SIZE), read_image(alone, SIZE))
    with pytest.raises(DamagedImageError):
        read_image(zeroed(several, 9000), SIZE)


@pytest.mark.parametrize("kind", FORMATS)
def test_a_picture_of_one_colour_is_whole(kind: str) -> None:
    encoder, options = FORMATS[kind]
    mode = "CMYK" if encoder == "CMYK" else "RGB"
    content = encode(Image.new(mode, (900, 600)), "JPEG" if mode == "CMYK" else encoder, **options)
    assert read_image(content, SIZE).shape == (*SIZE, 3)


def test_the_decoder_returns_the_pixels_of_a_whole_jpeg() -> None:
    grey = encode(Image.new("L", (64, 48), 90), "JPEG")
    assert decode_jpeg(grey, height=48, width=64).shape == (48, 64, 3)
    assert decode_jpeg(grey, height=48, width=64, colours="GRAY").shape == (48, 64, 1)


def even_pictures() -> dict[str, np.ndarray]:
    """Whole pictures that pack to long runs of zeros under a quick setting."""
    noise = np.random.default_rng(0).integers(0, 256, (450, 600, 3)).astype(np.uint8)
    half, framed, drawn = noise.copy(), np.asarray(photograph()).copy(), noise.copy()
    half[:225] = 0
    framed[:120], framed[-120:], framed[:, :120], framed[:, -120:] = 255, 255, 255, 255
    drawn[:225] = (np.arange(600) % 256).astype(np.uint8)[None, :, None]
    return {"flat": np.full((1500, 3000, 3), 90, np.uint8), "half": half, "framed": framed, "drawn": drawn}


@pytest.mark.parametrize("picture", even_pictures())
def test_a_whole_picture_with_a_large_even_area_is_never_refused(picture: str) -> None:
    image, holes = Image.fromarray(even_pictures()[picture]), 0
    for options in ({"lossless": True, "quality": 80}, {"quality": 100}):
        content = encode(image, "WEBP", method=0, **options)
        holes += bytes(2048) in content
        assert read_image(content, SIZE).shape == (*SIZE, 3)
    assert holes


def test_holes_outside_the_pixels_are_no_damage() -> None:
    content = encode(photograph(), "AVIF", quality=90, speed=9)
    expected = read_image(content, SIZE)
    free = (8 + 4096).to_bytes(4) + b"free" + bytes(4096)
    for whole in (
        content + free,
        content + bytes(4096),
        encode(photograph(), "AVIF", quality=90, speed=9, xmp=bytes(5000)),
    ):
        assert np.array_equal(read_image(whole, SIZE), expected)
    with pytest.raises(DamagedImageError, match="zero bytes or more in a row"):
        read_image(zeroed(content, len(content) // 2), SIZE)
