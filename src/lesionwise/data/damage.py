"""Damage that image decoders pass over.

Not here: the rule by which an image is read (`images`).

A decoder made for viewers fills what is missing with grey and reports nothing; a diagnosis must not rest on
such pixels. Two kinds of damage are not found, because nothing in the file contradicts them: changed bytes of
uncompressed pixels, and changed bits of compressed ones that still decode to the right number of pixels.
`benchmarks/reliability` counts both.

A block of a disk that was never written is a hole: a long run of zeros. PNG, deflated TIFF and JPEG show a
hole by other means. WebP, AVIF, HEIC and JPEG 2000 do not, and decode anything. A hole alone proves nothing:
WebP packs a large area of one colour to a long run of zeros as well, and comments may hold one anywhere.
"""

import io
import re
import zlib
from typing import Any, Final

import numpy as np
import simplejpeg
from PIL import Image

from lesionwise.arrays import Pixels
from lesionwise.errors import DamagedImageError, reraised

_STRAY: Final = re.compile(r"extraneous bytes before marker")
_START_OF_SCAN: Final = 0xDA  # JPEG, ITU-T T.81, table B.1
_END_OF_IMAGE: Final = b"\xff\xd9"
_PADDING: Final = 64  # zero bytes before the end marker, up to which some cameras fill a block
_IEND: Final = b"IEND\xaeB`\x82"  # the last chunk of a PNG with its checksum
_HOLE: Final = bytes(2048)  # half a block of a disk
_HOLES: Final = re.compile(rb"\0{2048,}")
_FILLING: Final = b"\x55"
_NEEDED: Final = 64  # bytes at the end of a WebP's pixels: no whole picture can be decoded without them
_LOSSLESS: Final = b"VP8L"
_WEBP_PIXELS: Final = (b"VP8 ", _LOSSLESS)
_BITS_A_PIXEL: Final = 40  # more than the four shortest codes of a lossless WebP's pixel can have
_TIFF_OFFSETS: Final = (273, 324)  # TIFF 6.0: StripOffsets, and TileOffsets
_TIFF_COUNTS: Final = (279, 325)
_TIFF_COMPRESSION: Final = 259
_TIFF_JPEG_TABLES: Final = 347
_TIFF_JPEG: Final = 7
_TIFF_DEFLATE: Final = (8, 32946)
_BYTES_A_PIXEL: Final = 16  # twice those of RGBA with 16 bits a channel, for tiles that reach over the edge
_TILE_PIXELS: Final = 1 << 20
_STEP: Final = 1 << 20


def decode_jpeg(content: bytes, *, height: int = 1, width: int = 1, colours: str = "RGB") -> Pixels:
    """Decode a JPEG at the smallest DCT scale that covers a size, and refuse it where data is missing.

    Stray bytes between two headers, and zeros before the end marker, are no damage; some cameras write them.
    """

    def decode(data: bytes) -> Pixels:
        return np.asarray(
            simplejpeg.decode_jpeg(data, colours, min_height=height, min_width=width, strict=True)
        )

    try:
        try:
            return decode(content)
        except ValueError as error:
            if not _STRAY.search(str(error)):
                raise
            return decode(_without_stray_bytes(content))
    except ValueError as error:
        reason = str(error).partition("\n")[0]
        raise DamagedImageError(f"is damaged: {reason}") from error


def verify_compressed_data(content: bytes, image: Image.Image) -> None:
    """Make sure that compressed pixels, which Pillow is about to decode, are whole."""
    if image.format in {"JPEG", "MPO"}:  # of colours that simplejpeg does not convert
        decode_jpeg(content, colours=image.mode)
    elif image.format == "PNG" and _IEND not in content:
        raise DamagedImageError("is damaged: the end of the file is missing")
    elif image.format in {"AVIF", "HEIF"}:
        _verify_no_hole_in_pixels(content, image)
    elif image.format == "WEBP":
        _verify_webp(content)
    elif image.format == "TIFF":
        _verify_tiff(content, image)


def verify_no_hole(data: bytes) -> None:
    """Make sure that pixels compressed as JPEG 2000 have no hole; intact ones never have one."""
    if _HOLE in data:
        raise _hole_error()


def _hole_error() -> DamagedImageError:
    return DamagedImageError(
        f"is damaged: its compressed pixels have {len(_HOLE):,} zero bytes or more in a row, as in a file "
        "whose writing was interrupted"
    )


def _without_stray_bytes(content: bytes) -> bytes:
    """Return a JPEG without bytes that lie between its headers, and without zeros before its end marker."""
    kept, at = [content[:2]], 2
    while (marker := content.find(b"\xff", at)) >= 0 and marker + 4 <= len(content):
        length = 2 + int.from_bytes(content[marker + 2 : marker + 4])
        if content[marker + 1] == _START_OF_SCAN:
            break
        if content[marker + 1] in {0x00, 0xFF}:  # a stray byte, or one that fills up
            at = marker + 1
            continue
        kept.append(content[marker : marker + length])
        at = marker + length
    end = content.rfind(_END_OF_IMAGE)
    scans = content[marker:end]
    padding = len(scans) - len(scans.rstrip(b"\0"))
    return b"".join([*kept, scans[:-padding] if 0 < padding <= _PADDING else scans, content[end:]])


def _verify_webp(content: bytes) -> None:
    """Go through the chunks of a WebP: each must lie in the file, and its pixels must need all of theirs."""
    end = 8 + int.from_bytes(content[4:8], "little")
    at = 12
    while at + 8 <= end:
        length = int.from_bytes(content[at + 4 : at + 8], "little")
        if at + 8 + length > min(end, len(content)):
            break
        if content[at : at + 4] in _WEBP_PIXELS:
            _verify_webp_pixels(content[at : at + 4], content[at + 8 : at + 8 + length])
        at += 8 + length + length % 2
    if at < end:
        raise DamagedImageError("is damaged: a piece of its data is missing")


def _verify_webp_pixels(kind: bytes, data: bytes) -> None:
    """Make sure that a hole in the pixels of a WebP is a large even area.

    Zeros stand for the commonest codes. Where they replace the codes of a photograph, fewer bytes than there
    are mostly give all pixels. A lossless picture, whose codes may all have one length, must also have an
    area that its longest hole can stand for.
    """
    if _HOLE not in data:
        return
    if _decodes(_webp(kind, data[:-_NEEDED]), "WEBP") is not None:
        raise _hole_error()
    if kind == _LOSSLESS:
        pixels = _decodes(_webp(kind, data), "WEBP")
        longest = max(len(hole) for hole in _HOLES.findall(data))
        if pixels is None or _longest_even_run(pixels) < 8 * longest // _BITS_A_PIXEL:
            raise _hole_error()


def _webp(kind: bytes, data: bytes) -> bytes:
    """Return the file that holds nothing but these pixels."""
    chunk = kind + len(data).to_bytes(4, "little") + data + b"\0" * (len(data) % 2)
    return b"RIFF" + (4 + len(chunk)).to_bytes(4, "little") + b"WEBP" + chunk


def _longest_even_run(pixels: Pixels) -> int:
    """Return how many pixels in a row, and in the rows below it, differ equally from their left neighbour.

    So do those of one colour, and those of a drawn gradient, which WebP packs as well.
    """
    steps = np.diff(pixels, axis=1).reshape(-1, pixels.shape[-1])  # modulo 256
    ends = np.flatnonzero((steps[1:] != steps[:-1]).any(axis=1))
    return int(np.diff(ends, prepend=-1, append=len(steps) - 1).max())


def _verify_no_hole_in_pixels(content: bytes, image: Image.Image) -> None:
    """Make sure that a hole in an AVIF or HEIC lies outside its pixels: compressed pixels never have one.

    Outside, as in a comment or at the end of the file, other bytes in its place change no pixel.
    """
    if _HOLE not in content:
        return
    outside = _HOLES.sub(lambda hole: _FILLING * len(hole[0]), re.sub(rb"\0{2048,}\Z", b"", content))
    pixels = _decodes(outside, str(image.format))
    if pixels is None or not np.array_equal(pixels, np.asarray(image)):
        raise _hole_error()


def _decodes(content: bytes, format_: str) -> Pixels | None:
    """Return the pixels of a file, or None where its decoder finds it damaged."""
    try:
        with Image.open(io.BytesIO(content), formats=(format_,)) as image:
            return np.asarray(image)
    except (OSError, ValueError, SyntaxError, EOFError, RuntimeError):
        return None


def _verify_tiff(content: bytes, image: Image.Image) -> None:
    """Unpack the strips or tiles of a TIFF whose compression has a checksum or notices what is missing."""
    tags: Any = getattr(image, "tag_v2", {})
    compression = tags.get(_TIFF_COMPRESSION)
    room = _BYTES_A_PIXEL * max(image.width * image.height, _TILE_PIXELS)
    for offset, count in _tiff_pieces(tags, len(content)):
        data = content[offset : offset + count]
        if compression in _TIFF_DEFLATE:
            room -= _verify_deflated(data, room)
        elif compression == _TIFF_JPEG:
            _verify_jpeg_strip(data, tags.get(_TIFF_JPEG_TABLES, b""))


def _tiff_pieces(tags: Any, size: int) -> list[tuple[int, int]]:  # noqa: ANN401 (Pillow's)
    """Return offset and length of each strip or tile; all must lie in the file, and none twice."""
    pieces = [
        piece
        for offsets, counts in zip(_TIFF_OFFSETS, _TIFF_COUNTS, strict=True)
        for piece in zip(tags.get(offsets, ()), tags.get(counts, ()), strict=True)
    ]
    if any(offset + count > size for offset, count in pieces) or sum(count for _, count in pieces) > size:
        raise DamagedImageError("is damaged: a piece of its data is missing")
    return pieces


def _verify_deflated(data: bytes, room: int) -> int:
    """Unpack data without keeping it, which verifies its checksum, and return how many bytes it had."""
    unpacker, unpacked, chunk = zlib.decompressobj(), 0, data
    with reraised(DamagedImageError, "is damaged: ", zlib.error, after=""):
        while chunk and not unpacker.eof and unpacked <= room:
            unpacked += len(unpacker.decompress(chunk, _STEP))
            chunk = unpacker.unconsumed_tail
        if not chunk:
            unpacked += len(unpacker.flush())  # what a step had no more room for
    if not unpacker.eof:
        raise DamagedImageError("is damaged: the length of its compressed data does not fit its pixels")
    return unpacked


def _verify_jpeg_strip(data: bytes, tables: bytes) -> None:
    colours = {1: "GRAY", 4: "CMYK"}.get(_components(data), "RGB")
    decode_jpeg((tables[:-2] + data[2:]) if tables else data, colours=colours)


def _components(jpeg: bytes) -> int:
    """Return the number of colours in the header of a JPEG; 0 if it has no header of that kind."""
    frame = re.search(rb"\xff[\xc0-\xc2]\x00.\x08.{4}(.)", jpeg, re.DOTALL)
    return frame[1][0] if frame else 0
