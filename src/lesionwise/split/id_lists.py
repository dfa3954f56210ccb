"""What the referee is given: lists of image ids, and which image shows which lesion.

Here: reading them from the files that people have. Not here: judging them (`check`).
"""

from pathlib import Path
from typing import Final, Literal

import pandas as pd

from lesionwise.data.layouts.listing import read_table
from lesionwise.errors import DataError
from lesionwise.evaluation.forms import ID_COLUMNS
from lesionwise.labels import CODES

_PART_COLUMNS: Final = ("split", "part", "set", "subset", "partition")


def read_ids(path: Path, part: Literal["train", "test"]) -> list[str]:
    """Read image ids: one in each line of a text file, or a column such as image_id of a CSV.

    Args:
        path: The file.
        part: The rows to take of a CSV that names the part of each image in a column such as `split`.

    Raises:
        DataError: If the file cannot be read, holds no id, or is a CSV without such a column.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read as a list of ids: {error}.") from error
    cells = [line.strip() for line in lines if line.strip()]
    if cells and ("," in cells[0] or cells[0] in ID_COLUMNS):
        table = _rows_of(part, read_table(path), path)
        column = next((name for name in ID_COLUMNS if name in table), None)
        if column is None:
            raise DataError(
                f"{path}: expected a column {', '.join(ID_COLUMNS[:3])} but found {', '.join(table.columns)}."
            )
        empty = table.index[table[column].isna()]
        if len(empty):
            raise DataError(f"{path}: row {empty[0]} has no {column}; {len(empty)} rows do. Fill them in.")
        cells = table[column].tolist()
    if not cells:
        raise DataError(f"{path}: expected image ids but found none.")
    return cells


def _rows_of(part: str, table: pd.DataFrame, path: Path) -> pd.DataFrame:
    """Return the rows of a part, all of them if no column names parts."""
    column = next((name for name in _PART_COLUMNS if name in table), None)
    if column is None:
        return table
    rows = table[table[column].str.lower().isin([part, f"{part}ing"])]
    if rows.empty:
        found = ", ".join(sorted(set(table[column].dropna()))[:5])
        raise DataError(f"{path}: expected rows with {part} in the column {column} but found {found}.")
    return rows


def read_lesion_table(path: Path) -> pd.DataFrame:
    """Read image_id, lesion_id and, if there, dx of the images of another collection.

    Raises:
        DataError: If a column is missing, a cell empty, an image repeated or a diagnosis unknown.
    """
    table = read_table(path)
    columns = [name for name in ("image_id", "lesion_id", "dx") if name in table]
    missing = {"image_id", "lesion_id"} - set(columns)
    if missing:
        raise DataError(
            f"{path}: expected the columns image_id and lesion_id (and dx) but {', '.join(sorted(missing))} "
            f"is missing; found {', '.join(table.columns)}."
        )
    empty = table.index[table[columns].isna().any(axis=1)]
    if len(empty):
        raise DataError(f"{path}: row {empty[0]} has an empty cell; {len(empty)} rows do. Fill them in.")
    twice = table.loc[table["image_id"].duplicated(), "image_id"]
    if len(twice):
        raise DataError(f"{path}: {twice.iloc[0]} stands in more than one row. Keep one.")
    if "dx" in columns and not table["dx"].isin(CODES).all():
        odd = table.loc[~table["dx"].isin(CODES), "dx"].iloc[0]
        raise DataError(f"{path}: expected dx to be one of {', '.join(CODES)} but found {odd!r}.")
    return table[columns].reset_index(drop=True)
