"""The names of images: one rule for every table that the package writes or reads.

An image is called after its file, without folder and suffix, where no other image has that name. Where
another has it, the image gets the shortest end of its path that tells the two apart.

Here: giving such names, and finding an image in a table that has another name for it. Not here: finding
files.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Final
from unicodedata import normalize

IMAGE_SUFFIXES: Final = frozenset(
    {
        *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".tif", ".tiff", ".webp", ".dcm"),
        *(".heic", ".heif", ".avif"),
    }
)
"""Suffixes that a search of a folder counts as images, even if the extra that reads them is missing."""
UNREAD_SUFFIXES: Final = frozenset(
    {
        *(".gif", ".jp2", ".j2k", ".jxl", ".psd", ".svg", ".ico", ".tga", ".eps"),
        *(".raw", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".rw2", ".raf", ".pef", ".srw"),
    }
)
"""Suffixes of pictures that are not read; they are reported, not passed over."""
_SUFFIXES: Final = IMAGE_SUFFIXES | UNREAD_SUFFIXES
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")  # a spreadsheet takes what starts so for a formula
_NUMBER: Final = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?")


def image_id_of(name: str) -> str:
    """Return the id that a file's name or path stands for: without folders, and without an image's suffix.

    Example:
        >>> image_id_of("HAM10000_images_part_1/ISIC_0024306.jpg"), image_id_of("patient 3.2")
        ('ISIC_0024306', 'patient 3.2')
    """
    bare = _without_suffix(name.replace("\\", "/").rpartition("/")[2])
    return bare if bare.isascii() else normalize("NFC", bare)  # a Mac names files in another form


def archive_id(image_id: str) -> str:
    """Return an image's id in the ISIC archive; ISIC 2019 adds a suffix to ids of images it stores smaller.

    Example:
        >>> archive_id("ISIC_0000001_downsampled")
        'ISIC_0000001'
    """
    return image_id.removesuffix("_downsampled")


def inert_name(name: str) -> str:
    """Return a name as a table may hold it: a spreadsheet takes it for text and not for a formula.

    Example:
        >>> inert_name("=1+1"), inert_name("-0.5"), inert_name("ISIC_0024306")
        ("'=1+1", '-0.5', 'ISIC_0024306')
    """
    return f"'{name}" if name.startswith(_FORMULA) and not _NUMBER.fullmatch(name) else name


def shortest_names(paths: Iterable[str], taken: Iterable[str] = ()) -> dict[str, str]:
    """Return for each path the shortest of its ends that no other path has.

    Args:
        paths: All of them different. A member of a zip follows the zip's path and an exclamation mark.

    Returns:
        The name of each path: the file's name without suffix, else with it, else with one folder, and so on.

    Example:
        >>> shortest_names(["data/left/1.jpg", "data/right/1.jpg", "data/2.png"])
        {'data/left/1.jpg': 'left/1', 'data/right/1.jpg': 'right/1', 'data/2.png': '2'}
    """
    ends = {path: list(dict.fromkeys(_ends(path))) for path in paths}
    often = Counter([*(end for own in ends.values() for end in own), *taken])
    return {path: next((end for end in own if often[end] == 1), path) for path, own in ends.items()}


def match_names(wanted: Sequence[str], known: Sequence[str]) -> dict[str, str]:
    """Return which of the known names stands for the same image as each wanted one.

    Equal names mean one image. Two different names mean one image if their files have the same name, one
    is an end of the other, and neither fits a further name.

    Returns:
        The known name by the wanted one; wanted names without a match are left out.

    Example:
        >>> match_names(["a/1.jpg", "2"], ["1", "images/2.png", "3"])
        {'a/1.jpg': '1', '2': 'images/2.png'}
    """
    known_names = set(known)
    found = {name: name for name in wanted if name in known_names}
    waiting = [name for name in wanted if name not in found]
    if not waiting:
        return found
    offered = defaultdict(list)
    for name in known:
        if name not in found:
            offered[image_id_of(name)].append(name)
    fitting = {
        name: [o for o in offered[image_id_of(name)] if is_end_of(o, name) or is_end_of(name, o)]
        for name in waiting
    }
    claimed = Counter(other for others in fitting.values() for other in others)
    found |= {
        name: others[0] for name, others in fitting.items() if len(others) == 1 and claimed[others[0]] == 1
    }
    return found


def is_end_of(end: str, name: str) -> bool:
    """Return whether a name is the end of another, folder by folder and without regard to image suffixes."""
    short, long = _parts(_without_suffix(end)), _parts(_without_suffix(name))
    return long[-len(short) :] == short


def _without_suffix(name: str) -> str:
    stem, dot, suffix = name.rpartition(".")
    return stem if stem and f"{dot}{suffix}".lower() in _SUFFIXES else name


def _parts(path: str) -> list[str]:
    return [part for part in path.replace("\\", "/").replace("!", "/").split("/") if part]


def _ends(path: str) -> Iterator[str]:
    parts = _parts(path)
    for start in range(len(parts) - 1, -1, -1):
        end = "/".join(parts[start:])
        yield _without_suffix(end)
        yield end
