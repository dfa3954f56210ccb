"""What every layout gives: one raw table, the images, and what was left out.

Here: the record, reading a table as text, finding image files. Not here: any one layout.
"""

import filecmp
import re
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pandas as pd

from lesionwise import tables
from lesionwise.errors import DataError
from lesionwise.files import walk_files
from lesionwise.names import IMAGE_SUFFIXES, UNREAD_SUFFIXES, image_id_of

OTHER_PARTS: Final = re.compile(r"_(test|validation)(_v2)?_(input|images|data)$", re.IGNORECASE)
"""Names of folders that hold images of another part of a challenge than the one that is trained on."""
PLACE: Final = "table and line"
"""Column of a listing from several tables: where each row stands, such as `train/metadata.csv:7`."""
_MASK: Final = re.compile(r"_(segmentation|superpixels)$", re.IGNORECASE)


@dataclass(frozen=True)
class Listing:
    """What a data folder holds, not checked yet.

    Attributes:
        table_file: The file that the rows come from; the folder if there are several.
        table: Raw text columns; the index is the line number in `table_file`, the header being 1. Where there
            are several files, the column `PLACE` has file and line.
        images: Path of each image file by image id (the file name without its suffix).
        advice: What to do if a column is missing, by column.
        left_out: Image ids whose diagnosis has no counterpart among the seven, or that are no dermatoscopic
            image, by that diagnosis or kind; their rows are not in `table`.
        notes: What a user of this collection should know, in sentences.
        columns: Which columns of the table were used and which were left, as a sentence.
    """

    layout: str
    table_file: Path
    table: pd.DataFrame
    images: dict[str, Path]
    advice: dict[str, str] = field(default_factory=dict)
    left_out: dict[str, tuple[str, ...]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    columns: str = ""


def read_table(path: Path) -> pd.DataFrame:
    """Read a table as text under our names, indexed by line number; an empty cell is missing."""
    table = tables.read_table(path).frame()
    if "image_id" in table:
        table["image_id"] = table["image_id"].map(image_id_of)
    return table.mask(table == "")


def find_images(
    folders: Iterable[Path], *, without: re.Pattern[str] | None = None, but: Collection[Path] = ()
) -> dict[str, Path]:
    """Return every image file below the folders by its id; masks are not images.

    The archive of Kaggle holds its image folders twice, once in lower case: upper case sorts first, so the
    twin is passed over, and so is a second file with the same content. Any other second file of one id is a
    fault, because nobody can tell which one is meant.

    Args:
        but: Resolved paths of files that are passed over.
    """
    images: dict[str, Path] = {}
    places: dict[str, str] = {}
    for folder in folders:
        for path in walk_files(folder):
            if path.suffix.lower() not in IMAGE_SUFFIXES or _MASK.search(path.stem):
                continue
            if but and path.resolve() in but:
                continue
            inside = path.relative_to(folder)
            if without and any(without.search(part) for part in inside.parts[:-1]):
                continue
            image_id = image_id_of(path.name)
            place = inside.as_posix().lower()
            known = images.setdefault(image_id, path)
            same = known == path or places.setdefault(image_id, place) == place
            if not same and not filecmp.cmp(known, path, shallow=False):
                raise DataError(
                    f"{folder}: expected one file for each image but found {known.name} in {known.parent} "
                    f"and {path.name} in {path.parent}. Keep one of them."
                )
            places.setdefault(image_id, place)
    return images


def note_unread(folder: Path) -> tuple[str, ...]:
    """Return a sentence that counts the pictures of a folder that are of unread kinds, if there are any."""
    kinds = Counter(
        path.suffix.lower() for path in walk_files(folder) if path.suffix.lower() in UNREAD_SUFFIXES
    )
    if not kinds:
        return ()
    counts = ", ".join(f"{count} {suffix}" for suffix, count in sorted(kinds.items()))
    return (f"Pictures of a kind that lesionwise does not read: {counts}. Convert them to PNG or JPEG.",)


def without_copies(paths: Iterable[Path]) -> list[Path]:
    """Return the first of each group of files with the same content, such as a download that was repeated."""
    kept: list[Path] = []
    for path in sorted(paths, key=lambda path: (len(path.name), path)):
        if not any(filecmp.cmp(path, other, shallow=False) for other in kept):
            kept.append(path)
    return sorted(kept)


def one_of(found: Iterable[Path], folder: Path, what: str) -> Path | None:
    """Return the only one of some files, or None; copies of one file count once."""
    different = without_copies(found)
    if len(different) > 1:
        names = ", ".join(path.relative_to(folder).as_posix() for path in different)
        raise DataError(f"{folder}: expected one {what} but found {names}. Name the folder of one of them.")
    return different[0] if different else None
