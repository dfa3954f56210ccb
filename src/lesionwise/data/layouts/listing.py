"""What every layout gives: one raw table, the images, and what was left out.

Here: the record, reading a CSV as text, finding image files. Not here: any one layout.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from lesionwise.errors import DataError
from lesionwise.names import IMAGE_SUFFIXES


@dataclass(frozen=True)
class Listing:
    """What a data folder holds, not checked yet.

    Attributes:
        layout: Name of the layout.
        table_file: The file that the rows come from.
        table: Raw text columns; the index is the line number in `table_file`, the header being 1.
        images: Path of each image file by image id (the file name without its suffix).
        advice: What to do if a column is missing, by column.
        left_out: Image ids whose diagnosis has no counterpart among the seven, by that diagnosis; their
            rows are not in `table`.
        notes: What a user of this collection should know, in sentences.
    """

    layout: str
    table_file: Path
    table: pd.DataFrame
    images: dict[str, Path]
    advice: dict[str, str] = field(default_factory=dict)
    left_out: dict[str, tuple[str, ...]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def read_table(path: Path) -> pd.DataFrame:
    """Read a CSV as text, indexed by line number."""
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False, na_values=[""], skipinitialspace=True)
    except (OSError, UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise DataError(f"{path}: cannot be read as CSV: {error}.") from error
    table.index = pd.RangeIndex(2, len(table) + 2)
    return table


def find_images(folders: Iterable[Path]) -> dict[str, Path]:
    """Return every image file below the folders by its id.

    The archive of Kaggle holds its image folders twice, once in lower case: upper case sorts first, so the
    twin is passed over. Any other second file of one id is a fault, since which is meant cannot be guessed.
    """
    images: dict[str, Path] = {}
    places: dict[str, str] = {}
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            if path.suffix.lower() not in IMAGE_SUFFIXES or path.name.startswith("."):
                continue
            place = path.relative_to(folder).as_posix().lower()
            if places.setdefault(path.stem, place) != place:
                raise DataError(
                    f"{folder}: expected one file for each image but found {images[path.stem].name} in "
                    f"{images[path.stem].parent} and {path.name} in {path.parent}. Keep one of them."
                )
            images.setdefault(path.stem, path)
    return images


def only_file(folder: Path, pattern: str, *, what: str) -> Path | None:
    """Return the one file below a folder that fits a pattern, or None.

    Raises:
        DataError: If several fit: which one is meant cannot be guessed.
    """
    found = sorted(path for path in folder.rglob(pattern) if path.is_file())
    if len(found) > 1:
        names = ", ".join(path.relative_to(folder).as_posix() for path in found)
        raise DataError(f"{folder}: expected one {what} but found {names}. Give the folder of one of them.")
    return found[0] if found else None
