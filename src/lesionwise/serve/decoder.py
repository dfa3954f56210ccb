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

from lesionwise.data.images import FORMATS, read_image
from lesionwise.errors import ImageError

LENGTH: Final = struct.Struct(">I")
WITH_PREVIEW: Final = b"p"
WITHOUT_PREVIEW: Final = b"-"
PREVIEW_PX: Final = 640
PREVIEW_QUALITY: Final = 85
_MEMORY_BYTES: Final = 1 << 30
_ORIENTATION_TAG: Final = 0x0112  # EXIF 2.32, table 4
_SWAPS_SIDES: Final = frozenset({5, 6, 7, 8})


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
        width, height = upright_size(content)
        if width * height > settings["pixels"] or max(width, height) > settings["side_px"]:
            return _refusal("image-size", f"It has {width:,} by {height:,} pixels. {settings['most']}")
        pixels = read_image(content, tuple(settings["size"]), steps=tuple(settings["steps"])).tobytes()
        picture = draw_preview(content, width, height) if preview else b""
    except ImageError as error:
        damaged = "pixels; at least" not in str(error)
        return _refusal("damaged-image" if damaged else "image-size", f"It {error}.")
    except MemoryError:
        return _refusal("image-size", "Decoding it takes more memory than is given.")
    except Exception:  # noqa: BLE001 (a decoder's bug is the file's refusal, and its text may quote the file)
        return _refusal("damaged-image", "The decoder cannot make sense of it.")
    found = {"width": width, "height": height, "pixels": len(pixels)}
    return json.dumps(found).encode() + b"\n" + pixels + picture


def upright_size(content: bytes) -> tuple[int, int]:
    """Return width and height after the EXIF orientation is applied; only headers are read.

    Raises:
        ImageError: If it is no image of a known format.
    """
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            turned = image.getexif().get(_ORIENTATION_TAG) in _SWAPS_SIDES
            return image.size[::-1] if turned else image.size
    except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
        if isinstance(error, Image.DecompressionBombError):
            raise ImageError("has far more pixels; at least a hundred times too many") from error
        raise ImageError("cannot be opened; its header is damaged or of another format") from error


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
