"""The program that decodes images in a process of its own: `python -m lesionwise.serve.decoder SETTINGS`.

A decoder is the part that hostile files aim at. Here it can be stopped when it takes too long, cannot take
more memory than it is given, and may crash without taking the service along. It reads a file's content from
stdin and writes what was found to stdout, one frame each, until stdin ends. Not here: the pool (`decoding`).
"""

import io
import json
import signal
import struct
import sys
from typing import Any, BinaryIO, Final

import simplejpeg
from PIL import Image

from lesionwise.data.dicom import is_dicom
from lesionwise.data.images import FORMATS, MIN_SIDE_PX, ORIENTATION_TAG, SWAPS_SIDES, image_sides, read_image
from lesionwise.errors import ImageError

LENGTH: Final = struct.Struct(">I")
WITH_PREVIEW: Final = b"p"
WITHOUT_PREVIEW: Final = b"-"
PREVIEW_PX: Final = 640
PREVIEW_QUALITY: Final = 85
_MEMORY_BYTES: Final = 1 << 30


def main(settings: dict[str, Any]) -> None:
    """Answer frames until there are no more.

    Args:
        settings: `size` of the network's input, `steps` of preprocessing, `pixels` and `side_px` at most.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the service, which then ends this
    _limit_memory()
    source, target = sys.stdin.buffer, sys.stdout.buffer
    sys.stdout = sys.stderr
    _write(target, b"ready")
    while (frame := _read(source)) is not None:
        _write(target, answer(frame[1:], preview=frame[:1] == WITH_PREVIEW, settings=settings))


def answer(content: bytes, *, preview: bool, settings: dict[str, Any]) -> bytes:
    """Return what is found in a file: one line of JSON, then the network's pixels, then the preview.

    Args:
        content: Of the file.
        preview: Whether a picture for people is wanted, upright and without metadata.
        settings: As for `main`.
    """
    try:
        width, height = upright_size(content, pixels=settings["pixels"], side_px=settings["side_px"])
        pixels = read_image(content, tuple(settings["size"]), steps=tuple(settings["steps"])).tobytes()
        picture = draw_preview(content, width, height) if preview else b""
    except SizeError as error:
        return _refusal("image-size", f"It {error}.")
    except ImageError as error:
        return _refusal("damaged-image", f"It {error}.")
    except MemoryError:
        return _refusal("image-size", "Decoding it takes more memory than is given.")
    except Exception:  # noqa: BLE001 (a decoder's bug is the file's refusal, and its text may quote the file)
        return _refusal("damaged-image", "The decoder cannot make sense of it.")
    found = {"width": width, "height": height, "pixels": len(pixels)}
    return json.dumps(found).encode() + b"\n" + pixels + picture


class SizeError(ImageError):
    """An image has too many pixels, or too few."""


def upright_size(content: bytes, *, pixels: int, side_px: int) -> tuple[int, int]:
    """Return width and height after the EXIF orientation is applied, if they are within bounds.

    Args:
        content: Of the file.
        pixels: At most.
        side_px: At most.

    Raises:
        SizeError: If they are not; found in the header, before any pixel is decoded.
        ImageError: If it is no image of a known format.
    """
    if is_dicom(content):
        return _within(image_sides(content), pixels=pixels, side_px=side_px)
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            width, height = _within(image.size, pixels=pixels, side_px=side_px)
            # Only now: to find EXIF data behind a PNG's pixels, Pillow decodes them.
            turned = image.getexif().get(ORIENTATION_TAG) in SWAPS_SIDES
            return (height, width) if turned else (width, height)
    except Image.DecompressionBombError as error:
        raise SizeError(f"has far more than the {pixels / 1e6:g} megapixels that are read") from error
    except (OSError, ValueError, SyntaxError, EOFError) as error:
        raise ImageError("cannot be opened; it is damaged or of another format") from error


def _within(size: tuple[int, int], *, pixels: int, side_px: int) -> tuple[int, int]:
    width, height = size
    if width * height > pixels or max(width, height) > side_px:
        raise SizeError(
            f"has {width:,} by {height:,} pixels; at most {pixels / 1e6:g} megapixels and "
            f"{side_px:,} a side are read"
        )
    if min(width, height) < MIN_SIDE_PX:
        raise SizeError(f"has {width} by {height} pixels; at least {MIN_SIDE_PX} a side are needed")
    return size


def draw_preview(content: bytes, width: int, height: int) -> bytes:
    """Return the whole image as a small JPEG, upright, without metadata.

    Args:
        content: Of the file.
        width: Upright, in pixels.
        height: The same.
    """
    scale = min(1, PREVIEW_PX / max(width, height))
    size = max(8, round(height * scale)), max(8, round(width * scale))
    encoded = simplejpeg.encode_jpeg(read_image(content, size), quality=PREVIEW_QUALITY)
    return bytes(encoded)


def _refusal(code: str, detail: str) -> bytes:
    return json.dumps({"refused": code, "detail": detail}).encode() + b"\n"


def _limit_memory() -> None:
    try:
        import resource  # noqa: PLC0415 (not on Windows)
    except ImportError:
        return
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))


def _read(source: BinaryIO) -> bytes | None:
    head = source.read(LENGTH.size)
    if len(head) < LENGTH.size:
        return None
    content = source.read(LENGTH.unpack(head)[0])
    return content or None


def _write(target: BinaryIO, frame: bytes) -> None:
    target.write(LENGTH.pack(len(frame)) + frame)
    target.flush()


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
