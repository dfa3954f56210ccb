"""One clean table of images, whatever folder they came from.

Here: `read_dataset` and the cleaning. Not here: pixels (`images`, `cache`) and parts (`lesionwise.split`).

Cleaning changes how a value is written, never what it says, and uses no statistic of the data:
a mean age, say, would carry test rows into training. A missing age stays missing (NaN), an empty
or odd sex or localization becomes "unknown". Rows are sorted by image id, so that the same data
gives the same table from any layout.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from lesionwise.arrays import Integers
from lesionwise.data.findings import Finding, check_listing, raise_findings
from lesionwise.data.layouts import Listing, read_listing
from lesionwise.errors import DataError
from lesionwise.labels import INDEX

PENDING = ".download"  # in a folder whose download is not finished
COLUMNS = ("image_id", "lesion_id", "dx", "dx_type", "age", "sex", "localization", "path")
ORIGINALS = ("original_image_id", "original_lesion_id")
"""What the merged collections called an image and its lesion; several names stand between semicolons."""
OPTIONAL_COLUMNS = ("collection", "license", *ORIGINALS)
"""Columns that a table keeps where it has them."""


@dataclass(frozen=True)
class Dataset:
    """A checked, cleaned collection of images.

    Attributes:
        table: One row per image, sorted by image id, columns as in `COLUMNS` and, where they are known,
            `OPTIONAL_COLUMNS`; `path` is relative to the folder for files inside it.
        warnings: Findings that do not stop training, such as rows that were left out.
        columns: Which columns of its table were used and which were left, as a sentence.
        left_out: Image ids that are in no row, by their diagnosis or kind; see `layouts.Listing`.
    """

    folder: Path
    layout: str
    table: pd.DataFrame
    warnings: tuple[Finding, ...] = ()
    notes: tuple[str, ...] = ()
    columns: str = ""
    left_out: dict[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def about(self) -> tuple[str, ...]:
        """What a user should know: warnings, notes, and which columns were used, a sentence each."""
        return tuple(str(line) for line in (*self.warnings, *self.notes, self.columns) if line)

    @property
    def y(self) -> Integers:
        """Class index of each image, shape (N,)."""
        return np.asarray(self.table["dx"].map(INDEX), np.int64)

    @property
    def paths(self) -> list[Path]:
        """Path of each image file."""
        return [self.folder / path for path in self.table["path"].tolist()]

    def records(self, rows: ArrayLike, columns: Iterable[str]) -> list[dict[str, Any]]:
        """Return some columns of the table for some images, an entry for each row number."""
        values = self.table[list(columns)].iloc[np.asarray(rows, np.intp)]
        return [{str(name): value for name, value in row.items()} for row in values.to_dict("records")]


def read_dataset(folder: str | Path, *, without_table: bool = False) -> Dataset:
    """Read a folder of dermatoscopic images with its table.

    Args:
        folder: Folder in one of the layouts of `docs/data.md`.
        without_table: Whether images of HAM10000 need no table. Diagnoses and lesions are known then, but
            not age, sex and site.

    Raises:
        DataError: If no layout recognises the folder, or its download is not finished.
        FindingsError: If the table has faults; the message lists all of them.
    """
    folder = Path(folder)
    if (folder / PENDING).is_dir():
        raise DataError(
            f'{folder}: its download is not finished. Run "lesionwise data download" again to continue it. '
            f"If the folder holds all that you need, delete {folder / PENDING}."
        )
    listing = read_listing(folder, without_table=without_table)
    findings = check_listing(listing)
    raise_findings(findings, str(listing.table_file))
    return dataset_of(listing, folder, findings)


def dataset_of(listing: Listing, folder: Path, findings: Iterable[Finding] = ()) -> Dataset:
    """Return the cleaned data set of a listing that has no fault."""
    table = clean_table(listing.table)
    table["path"] = [_relative(listing.images[image], folder) for image in table["image_id"]]
    kept = [*COLUMNS, *(name for name in OPTIONAL_COLUMNS if name in table)]
    notes, columns = listing.notes, listing.columns
    return Dataset(folder, listing.layout, table[kept], tuple(findings), notes, columns, listing.left_out)


def clean_table(raw: pd.DataFrame) -> pd.DataFrame:
    """Return the table with all columns, typed and uniformly written, sorted by image id."""
    words = ("sex", "localization", "dx_type")
    table = raw.reindex(columns=list(dict.fromkeys([*raw.columns, "age", *words])))
    table["age"] = pd.to_numeric(table["age"], errors="coerce").astype(float)
    for name in words:
        table[name] = table[name].astype("string").str.strip().str.lower().fillna("unknown").astype(str)
    table["sex"] = table["sex"].where(table["sex"].isin(["female", "male"]), "unknown")
    return table.sort_values("image_id").reset_index(drop=True)


def _relative(path: Path, folder: Path) -> str:
    return (path.relative_to(folder) if path.is_relative_to(folder) else path.absolute()).as_posix()
