"""Reading one image: the same function for training and for serving.

Not here: keeping them (`cache`), and anything random.

The rule, which bundles name as `IMAGE_RULE`: apply the EXIF orientation; decode a JPEG at the smallest eighth
of its size that still covers the target, and scale all other pictures down in the same way (`block_scaling`);
cut the centred box of the target's aspect ratio; resize it with an antialiased bicubic filter. Transparent
pictures are laid on white. Steps of `preprocess` that a recipe asks for are part of the rule (`image_rule`):
the field of view is cropped after decoding, which then keeps enough pixels for the smallest view; the others
work on the result.

HEIC, the files of phones, needs the extra `heif`; AVIF is read by Pillow itself.
"""

import io
import math
import stat
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image, UnidentifiedImageError

from lesionwise.arrays import Pixels
from lesionwise.data.block_scaling import eighths, scale_blocks
from lesionwise.data.damage import decode_jpeg, verify_compressed_data
from lesionwise.data.dicom import is_dicom, open_dicom
from lesionwise.data.preprocess import FIELD_OF_VIEW, SMALLEST_VIEW, crop_field_of_view, preprocess
from lesionwise.errors import DamagedImageError, ImageError, ImageSizeError, import_extra, reraised

IMAGE_RULE: Final = "exif-dct-centre-bicubic-1"
FORMATS: Final = ("JPEG", "PNG", "BMP", "TIFF", "WEBP", "AVIF")
MAX_PIXELS: Final = 64_000_000  # a 61-megapixel camera passes; 200 MB of RGB is the most one image may cost
MAX_BYTES: Final = 256 << 20  # of a file: more than 64 megapixels of raw RGB
MIN_SIDE_PX: Final = 8
ORIENTATION_TAG: Final = 0x0112  # EXIF 2.32, table 4
_UPRIGHT: Final = 1
SWAPS_SIDES: Final = frozenset({5, 6, 7, 8})
READS_HEIC: Final = find_spec("pillow_heif") is not None
_BRANDS_OF_HEIC: Final = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
_BRANDS_OF_AVIF: Final = (b"avif", b"avis")

_PARSER_ERRORS: Final = (
    OSError, ValueError, SyntaxError, EOFError, ArithmeticError, RuntimeError, struct.error, zlib.error
)  # fmt: skip


def image_rule(steps: tuple[str, ...] = ()) -> str:
    """Return the name of the rule that `read_image` follows with these steps."""
    return "+".join((IMAGE_RULE, *steps))


class OpenedImage:
    """An image whose header has been read, and whose pixels are decoded when they are asked for.

    Reading several sizes of one file decodes a PNG, WebP, TIFF or BMP once.

    Attributes:
        sides: Width and height as stored, in pixels.
    """

    def __init__(self, content: bytes, image: Image.Image | None) -> None:
        self._content = content
        self._image = image
        self._whole: Pixels | None = None
        self.sides: tuple[int, int] = image_sides(content) if image is None else image.size

    @cached_property
    def orientation(self) -> int:
        """EXIF orientation, 1 to 8. Pillow decodes a PNG to find EXIF data behind its pixels."""
        if self._image is None:
            return _UPRIGHT
        return int(self._image.getexif().get(ORIENTATION_TAG, _UPRIGHT))

    @property
    def upright_sides(self) -> tuple[int, int]:
        """Width and height once the orientation is applied, in pixels."""
        return self.sides[::-1] if self.orientation in SWAPS_SIDES else self.sides

    @property
    def pictures(self) -> int:
        """How many pictures or frames the file holds; the first is read."""
        return 1 if self._image is None else int(getattr(self._image, "n_frames", 1))

    def read(self, size: tuple[int, int], *, steps: tuple[str, ...] = ()) -> Pixels:
        """Return the image as a model sees it; arguments and result as for `read_image`."""
        _check_sides(*self.sides)
        if self._image is None:
            return fit_image(self._decode_whole(), size, steps=steps)
        target = size[::-1] if self.orientation in SWAPS_SIDES else size
        view = _seen(self._decode_scaled(self._image, target, steps), steps)
        return preprocess(_orient(_crop_resize(view, target), self.orientation), steps)

    def _decode_whole(self) -> Pixels:
        if self._whole is None:
            if self._image is None:
                self._whole = open_dicom(self._content).decode()
            else:
                verify_compressed_data(self._content, self._image)
                self._whole = np.asarray(_to_rgb(self._image))
        return self._whole

    def _decode_scaled(self, image: Image.Image, target: tuple[int, int], steps: tuple[str, ...]) -> Pixels:
        """Return the pixels at the smallest eighth of the size that covers the target."""
        least = _least_sides(image.size[::-1], target, steps)
        if image.format in {"JPEG", "MPO"} and image.mode in {"RGB", "L"}:
            return decode_jpeg(self._content, height=least[0], width=least[1])
        return _scale_down(self._decode_whole(), least)


@contextmanager
def open_image(source: Path | bytes) -> Iterator[OpenedImage]:
    """Open an image to read it in one size or more inside the block."""
    content = source if isinstance(source, bytes) else read_content(source)
    try:
        if is_dicom(content):
            yield OpenedImage(content, None)
            return
        with Image.open(io.BytesIO(content), formats=_formats(content)) as image:
            yield OpenedImage(content, image)
    except UnidentifiedImageError as error:
        raise ImageError(f"is not an image of the formats {', '.join(FORMATS)}, DICOM") from error
    except Image.DecompressionBombError as error:
        raise ImageSizeError(f"is too large: {error}") from error
    except _PARSER_ERRORS as error:
        raise DamagedImageError(f"is damaged: {error}") from error


def _formats(content: bytes) -> tuple[str, ...]:
    """Return the formats that Pillow may try; it fails at a name that no reader was registered for."""
    if not is_heic(content):
        return FORMATS
    prepare_heic()
    return ("HEIF",)


def is_heic(content: bytes) -> bool:
    """Return whether a file is HEIC by its first bytes (ISO/IEC 23008-12)."""
    return content[4:8] == b"ftyp" and content[8:12] in _BRANDS_OF_HEIC and not is_avif(content)


def is_avif(content: bytes) -> bool:
    """Return whether a file is AVIF by its first bytes; its brand may follow a more general one."""
    brands = content[8 : min(int.from_bytes(content[:4]), 64)]
    found = [brands[place : place + 4] for place in range(0, len(brands), 4)]
    return content[4:8] == b"ftyp" and any(brand in _BRANDS_OF_AVIF for brand in found)


@cache
def prepare_heic() -> None:
    """Teach Pillow to read HEIC."""
    pillow_heif = import_extra("pillow_heif")
    pillow_heif.options.DECODE_THREADS = 1
    pillow_heif.register_heif_opener(thumbnails=False)


def read_image(source: Path | bytes, size: tuple[int, int], *, steps: tuple[str, ...] = ()) -> Pixels:
    """Read an image as a model sees it.

    Raises:
        DamagedImageError: If it is not whole and its format shows that.
        ImageSizeError: If it has too many pixels, or too few.
        ImageError: If it is no image of a known format, or cannot be read.
    """
    with open_image(source) as opened:
        return opened.read(size, steps=steps)


def fit_image(pixels: Pixels, size: tuple[int, int], *, steps: tuple[str, ...] = ()) -> Pixels:
    """Cut, resize and preprocess upright pixels that were decoded elsewhere, by the rule of `read_image`."""
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:  # noqa: PLR2004 (H, W and RGB)
        raise ImageError(f"expected RGB pixels (H, W, 3) of uint8 but got {pixels.shape} of {pixels.dtype}")
    _check_sides(pixels.shape[1], pixels.shape[0])
    least = _least_sides((pixels.shape[0], pixels.shape[1]), size, steps)
    return preprocess(_crop_resize(_seen(_scale_down(pixels, least), steps), size), steps)


def rgb_pixels(image: Image.Image) -> Pixels:
    """Return the upright RGB pixels of an image that Pillow opened, shape (H, W, 3)."""
    with reraised(DamagedImageError, "is damaged: ", *_PARSER_ERRORS, after=""):
        return _orient(np.asarray(_to_rgb(image)), int(image.getexif().get(ORIENTATION_TAG, _UPRIGHT)))


def image_sides(source: Path | bytes) -> tuple[int, int]:
    """Return width and height of an image as it is stored, from its header alone."""
    with (
        reraised(ImageError, "cannot be opened: ", *_PARSER_ERRORS, Image.DecompressionBombError, after=""),
        io.BytesIO(source) if isinstance(source, bytes) else source.open("rb") as file,
    ):
        head = file.read(1024)
        if is_dicom(head):
            opened = open_dicom(source if isinstance(source, bytes) else read_content(source))
            return opened.width, opened.height
        with Image.open(file, formats=_formats(head)) as image:
            return image.size


def centred_slices(size: tuple[int, int], zoom: float) -> tuple[slice, slice]:
    """Return the rows and columns of the centred part that a magnification of 1 or more shows."""
    height, width = (round(side / zoom) for side in size)
    top, left = (size[0] - height) // 2, (size[1] - width) // 2
    return slice(top, top + height), slice(left, left + width)


def read_content(path: Path) -> bytes:
    """Return the bytes of an image file."""
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            raise ImageError("is not a regular file")
        verify_bytes(found.st_size)
        return path.read_bytes()
    except OSError as error:
        raise ImageError(f"cannot be read: {error.strerror}") from error
    except ValueError as error:  # a NUL in its name
        raise ImageError(f"cannot be read: {error}") from error


def verify_bytes(count: int) -> None:
    """Make sure that an image is not too large to be read."""
    if count > MAX_BYTES:
        raise ImageError(f"has {count >> 20} MiB; the limit is {MAX_BYTES >> 20}")


def _check_sides(width: int, height: int) -> None:
    if min(width, height) < MIN_SIDE_PX:
        raise ImageSizeError(f"is {width}x{height} pixels; each side needs at least {MIN_SIDE_PX}")
    if width * height > MAX_PIXELS:
        raise ImageSizeError(
            f"is {width}x{height} pixels; at most {MAX_PIXELS // 1_000_000} megapixels can be read"
        )


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode in {"F", "I"}:
        raise ImageError(f"has 32 bits a channel (mode {image.mode}); lesionwise reads 8 and 16")
    if image.mode.startswith("I;16"):  # which convert() would clip
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")
    return image.convert("RGB")


def _least_sides(sides: tuple[int, int], target: tuple[int, int], steps: tuple[str, ...]) -> tuple[int, int]:
    """Return the least height and width of the whole picture at which its seen part covers the target."""
    part = SMALLEST_VIEW if FIELD_OF_VIEW in steps else 1
    scale = min(1, target[0] / _box_sides(sides, target)[0] / part)
    return math.ceil(sides[0] * scale - 1e-6), math.ceil(sides[1] * scale - 1e-6)


def _scale_down(pixels: Pixels, least: tuple[int, int]) -> Pixels:
    return scale_blocks(pixels, eighths((pixels.shape[0], pixels.shape[1]), least))


def _seen(pixels: Pixels, steps: tuple[str, ...]) -> Pixels:
    return crop_field_of_view(pixels) if FIELD_OF_VIEW in steps else pixels


def _box_sides(sides: tuple[int, int], target: tuple[int, int]) -> tuple[float, float]:
    """Return height and width of the largest box of the target's aspect ratio."""
    scale = min(sides[0] / target[0], sides[1] / target[1])
    return target[0] * scale, target[1] * scale


def _crop_resize(pixels: Pixels, target: tuple[int, int]) -> Pixels:
    sides = pixels.shape[0], pixels.shape[1]
    if sides == target:
        return pixels
    box_height, box_width = _box_sides(sides, target)
    top, left = max(0, (sides[0] - box_height) / 2), max(0, (sides[1] - box_width) / 2)  # not -1e-15
    box = (left, top, sides[1] - left, sides[0] - top)
    return np.asarray(Image.fromarray(pixels).resize(target[::-1], Image.Resampling.BICUBIC, box=box))


def _orient(pixels: Pixels, orientation: int) -> Pixels:
    """Undo the camera's rotation and mirroring (EXIF values 1 to 8)."""
    if orientation == _UPRIGHT:
        return pixels
    turns = {3: 2, 4: 2, 5: 3, 6: 3, 7: 1, 8: 1}.get(orientation, 0)
    turned = np.rot90(pixels, turns)
    mirrored = turned[:, ::-1] if orientation in (2, 4, 5, 7) else turned
    return np.ascontiguousarray(mirrored)
