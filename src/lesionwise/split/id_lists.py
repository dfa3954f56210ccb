"""What the referee is given: lists of image ids, and which image shows which lesion."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final, Literal

import pandas as pd

from lesionwise.data.known_lesions import known_lesions
from lesionwise.errors import DataError
from lesionwise.evaluation.tables import read_table as read_truth
from lesionwise.names import image_id_of
from lesionwise.split.groups import lesion_groups
from lesionwise.tables import read_table
from lesionwise.text_tables import ID_NAMES
from lesionwise.wording import counted

_PART_COLUMNS: Final = ("split", "part", "set", "subset", "partition")


def read_ids(path: Path, part: Literal["train", "test"]) -> list[str]:
    """Read image ids: the lines of a text file, or the ids of a table.

    If the table has a column of parts, only the ids of this part are read.
    """
    table = read_table(path)
    plain = len(table.header) == 1 and "image_id" not in table.names  # no header: every line is an id
    if not plain and "image_id" not in table.names:
        raise DataError(
            f"{path}: expected a column of image ids ({ID_NAMES}) but found {', '.join(table.header)}."
        )
    rows, column = list(table.rows()), part_column(table.header)
    if not plain and column is not None:
        parts = {row[column] for _, row in rows}
        rows = [(line, row) for line, row in rows if row[column].lower() in {part, f"{part}ing"}]
        if parts and not rows:
            found = ", ".join(sorted(parts)[:5])
            raise DataError(f"{path}: expected rows with {part} in the column {column} but found {found}.")
    name = table.header[0] if plain else "image_id"
    ids = [*([(1, name)] if plain else []), *((line, row[name]) for line, row in rows)]
    if not ids:
        raise DataError(f"{path}: expected image ids but found none.")
    empty = next((line for line, image_id in ids if not image_id), None)
    if empty:
        raise DataError(f"{path}: row {empty} has no {table.names.get('image_id', 'image id')}. Fill it in.")
    return [image_id for _, image_id in ids]


def part_column(header: Sequence[str]) -> str | None:
    """Return the column of a table that names the part of each image, None if there is none."""
    spelled = {name.lower(): name for name in header}
    return next((spelled[name] for name in _PART_COLUMNS if name in spelled), None)


def read_lesion_table(path: Path) -> pd.DataFrame:
    """Read image_id, lesion_id and, if there, dx of images, and join what the package knows of HAM10000's."""
    table = read_truth(path)
    if "lesion_id" not in table:
        raise DataError(
            f"{path}: expected a column of image ids and lesion_id (and dx) but found "
            f"{', '.join(table.columns)}."
        )
    columns = [name for name in ("image_id", "lesion_id", "dx") if name in table]
    if "dx" in columns:
        table = table[table["foreign"] == ""]
    empty = table.index[(table[columns] == "").any(axis=1)]
    if len(empty):
        raise DataError(
            f"{path}: row {empty[0]} has an empty cell; {counted(len(empty), 'row does', 'rows do')}. Fill "
            "them in."
        )
    return with_shipped(table[columns], path)


def with_shipped(table: pd.DataFrame, path: Path) -> pd.DataFrame:
    """Return a table with HAM10000's names for its lesions, and the images of HAM10000 that it does not name.

    Other names for the lesions of HAM10000 are fine, as the ISIC archive has them; another grouping is not.
    """
    known = known_lesions().assign(group=lesion_groups(known_lesions())).set_index("image_id")
    shared = table.assign(bare=table["image_id"].map(image_id_of)).query("bare in @known.index")
    ours = known.loc[shared["bare"]].set_axis(shared.index)
    if "dx" in table:
        _verify_same(shared["dx"] == ours["dx"], shared, "has another diagnosis", path)
    for theirs, other, fault in (
        (shared["lesion_id"], ours["group"], "shares a lesion_id with another lesion"),
        (ours["lesion_id"], shared["lesion_id"], "has another lesion_id than its lesion"),
    ):
        _verify_same(other.groupby(theirs).transform("nunique") == 1, shared, fault, path)
    names = dict(zip(shared["lesion_id"], ours["lesion_id"], strict=True))
    own = table.assign(lesion_id=table["lesion_id"].map(lambda lesion: names.get(lesion, lesion)))
    further = known[~known.index.isin(shared["bare"])].reset_index()[[*table.columns]]
    joined: pd.DataFrame = pd.concat([own, further], ignore_index=True)
    return joined


def _verify_same(same: "pd.Series[bool]", table: pd.DataFrame, fault: str, path: Path) -> None:
    if not same.all():
        image = table.loc[~same, "image_id"].iloc[0]
        raise DataError(
            f"{path}: {image} {fault} in the included table of HAM10000. "
            f"{counted(int((~same).sum()), 'row differs', 'rows differ')} from it. Correct them, or leave "
            "the images of HAM10000 out: the package knows them."
        )
