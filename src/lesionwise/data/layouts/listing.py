"""What every layout gives: one raw table, the images, and what was left out.

Here: the record, reading a table as text, finding image files, and lesions that the layout does not name. Not
here: any one layout.

No lesion is guessed. A layout without lesion ids stays without them, and is refused later, unless the user
names the lesions in `lesions.csv`. Images of HAM10000 have known lesions, whatever lies beside them.
"""

import filecmp
import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import pandas as pd

from lesionwise import tables
from lesionwise.data.known_lesions import known_lesions, known_siblings
from lesionwise.errors import DataError
from lesionwise.files import walk_files, write_text
from lesionwise.names import IMAGE_SUFFIXES, UNREAD_SUFFIXES, image_id_of, inert_name
from lesionwise.tables import verify_once

OTHER_PARTS: Final = re.compile(r"_(test|validation)(_v2)?_(input|images|data)$", re.IGNORECASE)
"""Names of folders that hold images of another part of a challenge than the one that is trained on."""
PLACE: Final = "table and line"
"""Column of a listing from several tables: where each row stands, such as `train/metadata.csv:7`."""
LESIONS_FILE: Final = "lesions.csv"
_MASK: Final = re.compile(r"_(segmentation|superpixels)$", re.IGNORECASE)


@dataclass(frozen=True)
class Listing:
    """What a data folder holds, not checked yet.

    Attributes:
        table_file: The file that the rows come from; the folder if there are several.
        table: Raw text columns; the index is the line number in `table_file`, the header being 1. Where there
            are several files, the column `PLACE` has file and line.
        images: Path of each image file by image id (the file name without its suffix).
        advice: What to do if lesion ids are missing.
        left_out: Image ids whose diagnosis has no counterpart among the seven, or that are no dermatoscopic
            image, by that diagnosis or kind; their rows are not in `table`.
        notes: What a user of this collection should know, in sentences.
        columns: Which columns of the table were used and which were left, as a sentence.
    """

    layout: str
    table_file: Path
    table: pd.DataFrame
    images: dict[str, Path]
    advice: str = ""
    left_out: dict[str, tuple[str, ...]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    columns: str = ""


def read_table(path: Path) -> pd.DataFrame:
    """Read a table as text under our names, indexed by line number; an empty cell is missing."""
    table = tables.read_table(path).frame()
    if "image_id" in table:
        table["image_id"] = table["image_id"].map(image_id_of)
    return table.mask(table == "")


def pooled(tables_: Mapping[Path, pd.DataFrame], folder: Path) -> pd.DataFrame:
    """Return the rows of some tables as one; `PLACE` says where each row stands if they are several."""
    if len(tables_) == 1:
        return next(iter(tables_.values()))
    named = (
        table.assign(**{PLACE: [f"{path.relative_to(folder).as_posix()}:{line}" for line in table.index]})
        for path, table in tables_.items()
    )
    return pd.concat(named, ignore_index=True)


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
    found: dict[str, tuple[Path, str]] = {}
    for folder in folders:
        for path in walk_files(folder):
            if path.suffix.lower() not in IMAGE_SUFFIXES or _MASK.search(path.stem):
                continue
            if but and path.resolve() in but:
                continue
            inside = path.relative_to(folder)
            if without and any(without.search(part) for part in inside.parts[:-1]):
                continue
            place = inside.as_posix().lower()
            known, first = found.setdefault(image_id_of(path.name), (path, place))
            if first != place and not filecmp.cmp(known, path, shallow=False):
                raise DataError(
                    f"{folder}: expected one file for each image but found {known.name} in {known.parent} "
                    f"and {path.name} in {path.parent}. Keep one of them."
                )
    return {image_id: path for image_id, (path, _) in found.items()}


def note_unread(folder: Path) -> tuple[str, ...]:
    """Return a sentence that counts the pictures of a folder in formats that are not read; none if none."""
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


def add_lesions(listing: Listing, folder: Path) -> Listing:
    """Return the listing with the lesion ids that its layout lacks, as far as they are known."""
    table = listing.table
    if "image_id" not in table or ("lesion_id" in table and table["lesion_id"].notna().all()):
        return listing
    ours = table["lesion_id"] if "lesion_id" in table else pd.Series(pd.NA, table.index, dtype=object)
    for named in (_named_lesions(folder / LESIONS_FILE), _ham10000_lesions(table)):
        if named is not None:
            ours = ours.fillna(table["image_id"].map(named))
    return listing if ours.isna().all() else replace(listing, table=table.assign(lesion_id=ours))


def declare_own_lesions(folder: Path, image_ids: Iterable[str]) -> Path:
    """Write `lesions.csv`, in which each of the images is a lesion of its own, and return its path."""
    image_ids = sorted(image_ids)
    for one, other in known_siblings(image_ids):
        raise DataError(
            f"{folder}: {one} and {other} show one lesion of HAM10000, so each image is not a lesion of its "
            f"own. Name the lesion of each image in {LESIONS_FILE} (image_id,lesion_id)."
        )
    path = folder / LESIONS_FILE
    if path.exists():
        raise DataError(f"{path}: exists already. Edit it, or remove it first.")
    rows = "".join(f"{image_id},{image_id}\n" for image_id in image_ids)
    write_text(path, f"image_id,lesion_id\n{rows}")
    return path


def _named_lesions(path: Path) -> "pd.Series[str] | None":
    if not path.is_file():
        return None
    table = read_table(path)
    if not {"image_id", "lesion_id"} <= set(table.columns):
        raise DataError(
            f"{path}: expected the columns image_id and lesion_id but found {', '.join(table.columns)}."
        )
    verify_once(table["image_id"], path)
    table["image_id"] = table["image_id"].map(inert_name, na_action="ignore")
    return table.set_index("image_id")["lesion_id"].map(inert_name, na_action="ignore")


def _ham10000_lesions(table: pd.DataFrame) -> "pd.Series[str] | None":
    """Return HAM10000's lesions if the table agrees on the diagnosis of every image of HAM10000 in it."""
    known = known_lesions().set_index("image_id")
    ours = table[table["image_id"].isin(known.index)]
    if "dx" not in ours or (ours["dx"] != ours["image_id"].map(known["dx"])).any():
        return None
    return known["lesion_id"]
