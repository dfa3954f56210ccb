"""Which lesion an image shows, where the layout does not say: from `lesions.csv`, or HAM10000's own table.

Here: filling in `lesion_id`, and writing the declaration that each image is its own lesion.
Not here: groups.

Nothing is guessed. A layout without lesion ids stays without them, and is refused later, unless the user
names the lesions in `lesions.csv` or every image is one of HAM10000, whose lesions are known.
"""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Final

import pandas as pd

from lesionwise.data.known_lesions import known_lesions
from lesionwise.data.layouts.listing import Listing, read_table
from lesionwise.errors import DataError
from lesionwise.files import write_text
from lesionwise.names import inert_name

LESIONS_FILE: Final = "lesions.csv"


def add_lesions(listing: Listing, folder: Path) -> Listing:
    """Return the listing with the lesion ids that its layout lacks, as far as they are known.

    Raises:
        DataError: If `lesions.csv` cannot be used.
    """
    table = listing.table
    if "image_id" not in table or ("lesion_id" in table and table["lesion_id"].notna().all()):
        return listing
    named = _named_lesions(folder / LESIONS_FILE)
    if named is None and "lesion_id" not in table and "dx" in table:
        named = _ham10000_lesions(table)
    if named is None:
        return listing
    found = table["image_id"].map(named)
    ours = table["lesion_id"].fillna(found) if "lesion_id" in table else found
    return replace(listing, table=table.assign(lesion_id=ours))


def declare_own_lesions(folder: Path, image_ids: Iterable[str]) -> Path:
    """Write `lesions.csv`, in which each of the images is a lesion of its own, and return its path."""
    path = folder / LESIONS_FILE
    if path.exists():
        raise DataError(f"{path}: is there already. Edit it, or remove it first.")
    rows = "".join(f"{image_id},{image_id}\n" for image_id in sorted(image_ids))
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
    twice = table.loc[table["image_id"].duplicated(), "image_id"]
    if len(twice):
        raise DataError(f"{path}: {twice.iloc[0]} stands in more than one row. Keep one.")
    table["image_id"] = table["image_id"].map(inert_name, na_action="ignore")
    return table.set_index("image_id")["lesion_id"].map(inert_name, na_action="ignore")


def _ham10000_lesions(table: pd.DataFrame) -> "pd.Series[str] | None":
    """Return HAM10000's lesions if the table is of its images alone and agrees on every diagnosis."""
    known = known_lesions().set_index("image_id")
    if not table["image_id"].isin(known.index).all():
        return None
    same = table["dx"].to_numpy() == known["dx"].reindex(table["image_id"]).to_numpy()
    return known["lesion_id"] if same.all() else None
