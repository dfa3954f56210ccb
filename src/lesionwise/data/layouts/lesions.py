"""Which lesion an image shows, where the layout does not say: from `lesions.csv`, or HAM10000's own table.

Not here: groups.

Nothing is guessed. A layout without lesion ids stays without them, and is refused later, unless the user
names the lesions in `lesions.csv`. Images of HAM10000 have known lesions, whatever lies beside them.
"""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Final

import pandas as pd

from lesionwise.data.known_lesions import known_lesions, known_siblings
from lesionwise.data.layouts.listing import Listing, read_table
from lesionwise.errors import DataError
from lesionwise.files import write_text
from lesionwise.names import inert_name
from lesionwise.tables import verify_once

LESIONS_FILE: Final = "lesions.csv"


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
