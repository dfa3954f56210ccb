"""The program that decodes images in its own process: `python -P -m lesionwise.serve.decoder SETTINGS`.

Malicious files attack the decoder. As a process it can be stopped when it takes too long, has a memory limit,
and may crash without stopping the service. It reads the content of files from stdin and writes results to
stdout, one frame each, until stdin ends. Not here: the pool (`decoding`).

The time limit counts processor time, so that a busy machine refuses no picture. When it is used up, the
kernel ends the process with SIGPROF, even inside a library that never returns.
"""

import json
import signal
import struct
import sys
from typing import Any, BinaryIO, Final

import simplejpeg
from PIL import Image

from lesionwise.data.images import MIN_SIDE_PX, OpenedImage, open_image
from lesionwise.errors import ImageError, ImageSizeError

LENGTH: Final = struct.Struct(">I")
WITH_PREVIEW: Final = b"p"
WITHOUT_PREVIEW: Final = b"-"
PING: Final = b"?"
"""A frame with only this asks whether the decoder answers."""
PREVIEW_PX: Final = 640
PREVIEW_QUALITY: Final = 85
_MEMORY_BYTES: Final = 1 << 30


def main(settings: dict[str, Any]) -> None:
    """Answer frames until there are no more.

    Args:
        settings: `size` (height and width for the network) and `steps` (how an image is prepared, as in
            `ImageInput`); `pixels` and `side_px`, the limits of an image and its longer side; `seconds` of
            processor time for one image.
    """
    for sent in (signal.SIGINT, signal.SIGTERM):  # sent to the whole group; the service ends this process
        signal.signal(sent, signal.SIG_IGN)
    _limit_memory()
    Image.MAX_IMAGE_PIXELS = None  # the service's own limit is lower, and its message says more
    source, target = sys.stdin.buffer, sys.stdout.buffer
    sys.stdout = sys.stderr
    _write(target, b"ready")
    while (frame := _read(source)) is not None:
        if frame == PING:
            _write(target, frame)
            continue
        _limit_time(settings["seconds"])
        found = answer(frame[1:], preview=frame[:1] == WITH_PREVIEW, settings=settings)
        _limit_time(0)
        _write(target, found)


def answer(content: bytes, *, preview: bool, settings: dict[str, Any]) -> bytes:
    """Return the result for a file: one line of JSON, then the network's pixels, then the preview.

    Args:
        preview: Whether to make a picture for people, upright and without metadata.
        settings: As for `main`; `seconds` is not needed.
    """
    try:
        with open_image(content) as opened:
            _verify_sides(opened.sides, pixels=settings["pixels"], side_px=settings["side_px"])
            pixels = opened.read(tuple(settings["size"]), steps=tuple(settings["steps"])).tobytes()
            picture = draw_preview(opened) if preview else b""
            width, height = opened.upright_sides
            pictures = opened.pictures
    except ImageSizeError as error:
        return _refusal("image-size", f"It {error}.")
    except ImageError as error:
        return _refusal("damaged-image", f"It {error}.")
    except MemoryError:
        return _refusal("image-size", "Decoding it takes more memory than the decoder has.")
    except Exception:  # noqa: BLE001 (an error of a decoder refuses the file, and its text may quote the file)
        return _refusal("damaged-image", "The decoder cannot read it.")
    found = {"width": width, "height": height, "pixels": len(pixels), "pictures": pictures}
    return json.dumps(found).encode() + b"\n" + pixels + picture


def _verify_sides(sides: tuple[int, int], *, pixels: int, side_px: int) -> None:
    """Make sure that width and height are within bounds, before any pixel is decoded."""
    width, height = sides
    if width * height > pixels or max(sides) > side_px:
        raise ImageSizeError(
            f"has {width:,} by {height:,} pixels; at most {pixels / 1e6:g} megapixels and "
            f"{side_px:,} a side are read"
        )
    if min(sides) < MIN_SIDE_PX:
        raise ImageSizeError(f"has {width} by {height} pixels; at least {MIN_SIDE_PX} a side are needed")


def draw_preview(opened: OpenedImage) -> bytes:
    """Return the whole image as a small JPEG, upright, without metadata."""
    width, height = opened.upright_sides
    scale = min(1, PREVIEW_PX / max(width, height))
    size = max(8, round(height * scale)), max(8, round(width * scale))
    return bytes(simplejpeg.encode_jpeg(opened.read(size), quality=PREVIEW_QUALITY))


def _refusal(code: str, detail: str) -> bytes:
    return json.dumps({"refused": code, "detail": detail}).encode() + b"\n"


def _limit_memory() -> None:
    try:
        import resource  # noqa: PLC0415 (not on Windows)
    except ImportError:
        return
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))


def _limit_time(seconds: float) -> None:
    """Set the limit of processor time of this process; 0 removes it."""
    if sys.platform != "win32":
        signal.setitimer(signal.ITIMER_PROF, seconds)


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
