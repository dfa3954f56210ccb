"""HEIC and AVIF: the files of phones.

HEIC needs the extra `heif`; AVIF is read by Pillow itself. Not here: what is done with them (`images`).
"""

from functools import cache
from importlib.util import find_spec
from typing import Final

from lesionwise.errors import MissingExtraError

_BRANDS_OF_HEIC: Final = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
_BRANDS_OF_AVIF: Final = (b"avif", b"avis")
READS_HEIC: Final = find_spec("pillow_heif") is not None


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
    try:
        import pillow_heif  # noqa: PLC0415 (an extra)
    except ImportError as error:  # missing, or without a library that it links to
        raise MissingExtraError("heif", "pillow-heif") from error
    pillow_heif.options.DECODE_THREADS = 1
    pillow_heif.register_heif_opener(thumbnails=False)
