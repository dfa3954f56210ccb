"""Images out of an archive from the net, which is not trusted.

Here: taking image files out of a zip, each whole or not at all. Not here: getting the archive (`fetch`).

Nothing in the archive decides where a file goes: only its last name counts, and that must look like an image
id. What is declared is held against limits before anything is written, and what comes out against what was
declared.
"""

import re
import stat
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import Final
from zipfile import BadZipFile, ZipFile, ZipInfo

from lesionwise.data.images import read_image
from lesionwise.errors import DownloadError, ImageError, reraised
from lesionwise.files import atomic_path
from lesionwise.progress import SILENT, Progress

MAX_MEMBERS: Final = 20_000
MAX_MEMBER_BYTES: Final = 64 << 20
MAX_TOTAL_BYTES: Final = 8 << 30  # all of HAM10000 is 2.8 GB
MAX_RATIO: Final = 50  # a JPEG does not shrink; a bomb does, a thousandfold
_IMAGE_NAME: Final = re.compile(r"ISIC_\d{7}\.jpe?g", re.IGNORECASE)
_PASSED_OVER: Final = frozenset({"attribution.txt", "license.txt", "readme.txt", "readme.md", "license"})
_BAD_ZIP: Final = (BadZipFile, zlib.error, EOFError, NotImplementedError)
_BLOCK_BYTES: Final = 1 << 20
_PROBE: Final = (28, 38)  # pixels: decoding to this still reads every byte


@dataclass(frozen=True)
class Unpacked:
    """What came out of an archive.

    Attributes:
        written: SHA-256 and size of each file that was written or was already there as in the archive, by
            path below the folder.
        kept: Files that were there with other bytes but can be read: copies of one's own, left untouched.
    """

    written: dict[str, tuple[str, int]]
    kept: tuple[str, ...]


def unpack_images(
    archive: Path, folder: Path, *, place: Callable[[str], str], progress: Progress = SILENT
) -> Unpacked:
    """Take the images out of an archive."""
    written: dict[str, tuple[str, int]] = {}
    kept: list[str] = []
    with reraised(DownloadError, f"{archive.name}: is damaged: ", *_BAD_ZIP), ZipFile(archive) as content:
        members = list_images(content, archive.name)
        for number, (name, member) in enumerate(sorted(members.items()), 1):
            path = Path(place(name), name)
            found = _already_there(folder / path, member)
            if found is None:
                found = _extract(content, member, folder / path, archive.name)
            if found:
                written[path.as_posix()] = found
            else:
                kept.append(path.as_posix())
            progress.on_work("unpacking images", number, len(members))
    return Unpacked(written, tuple(kept))


def list_images(content: ZipFile, name: str) -> dict[str, ZipInfo]:
    """Return the image members of an archive by file name, after checking all of it against the limits."""
    members = content.infolist()
    if len(members) > MAX_MEMBERS:
        raise DownloadError(f"{name}: expected at most {MAX_MEMBERS:,} members but found {len(members):,}.")
    if sum(member.file_size for member in members) > MAX_TOTAL_BYTES:
        raise DownloadError(f"{name}: would unpack to more than {MAX_TOTAL_BYTES >> 30} GiB.")
    images: dict[str, ZipInfo] = {}
    for member in members:
        _refuse_tricks(member, name)
        path = PurePosixPath(member.filename)
        if member.is_dir() or path.name.lower() in _PASSED_OVER or "__MACOSX" in path.parts:
            continue
        if not _IMAGE_NAME.fullmatch(path.name):
            raise DownloadError(
                f"{name}: expected images like ISIC_0024306.jpg but found {member.filename!r}."
            )
        if path.name in images:
            raise DownloadError(f"{name}: {path.name} is in it twice.")
        images[path.name] = member
    return images


def is_readable(path: Path) -> bool:
    """Whether a file is there and decodes to its last byte."""
    try:
        read_image(path, _PROBE)
    except ImageError:
        return False
    return True


def _refuse_tricks(member: ZipInfo, name: str) -> None:
    path = PurePosixPath(member.filename.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or ":" in member.filename:
        raise DownloadError(f"{name}: {member.filename!r} tries to leave the folder.")
    if stat.S_ISLNK(member.external_attr >> 16):
        raise DownloadError(f"{name}: {member.filename!r} is a link, not a file.")
    if member.flag_bits & 1:
        raise DownloadError(f"{name}: {member.filename!r} is encrypted.")
    if member.file_size > MAX_MEMBER_BYTES or member.file_size > MAX_RATIO * max(member.compress_size, 1):
        raise DownloadError(f"{name}: {member.filename!r} would unpack to {member.file_size:,} bytes.")


def _already_there(path: Path, member: ZipInfo) -> tuple[str, int] | tuple[()] | None:
    """Return digest and size of the same bytes, nothing for a readable copy, None if it is to be written."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    if zlib.crc32(content) == member.CRC:
        return sha256(content).hexdigest(), len(content)
    return () if is_readable(path) else None


def _extract(content: ZipFile, member: ZipInfo, path: Path, name: str) -> tuple[str, int]:
    digest, size = sha256(), 0
    with atomic_path(path) as temporary, content.open(member) as source, temporary.open("wb") as target:
        while block := source.read(_BLOCK_BYTES):
            size += len(block)
            if size > member.file_size:
                raise DownloadError(f"{name}: {member.filename!r} is larger than it says.")
            digest.update(block)
            target.write(block)
    return digest.hexdigest(), size
