"""Data folders as people have them, each read into the same raw table.

Here: recognising a layout. Not here: judging what was read (`findings`) and cleaning it (`dataset`).

A new layout is one function `read_x(folder) -> Listing | None` in `LAYOUTS`; the more particular come first.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

from lesionwise.data.layouts.collections import read_derm7pt, read_pad_ufes_20, read_ph2
from lesionwise.data.layouts.folders import read_class_folders, read_csv_and_images
from lesionwise.data.layouts.ham10000 import read_hmnist, read_images_alone, read_kaggle
from lesionwise.data.layouts.isic import read_isic
from lesionwise.data.layouts.lesions import add_lesions
from lesionwise.data.layouts.listing import Listing
from lesionwise.errors import DataError
from lesionwise.names import inert_name

__all__ = ["LAYOUTS", "Listing", "read_listing"]

LAYOUTS: Final[tuple[Callable[[Path], Listing | None], ...]] = (
    read_kaggle,
    read_hmnist,
    read_isic,
    read_ph2,
    read_derm7pt,
    read_pad_ufes_20,
    read_csv_and_images,
    read_class_folders,
)


def read_listing(folder: Path, *, without_table: bool = False) -> Listing:
    """Read a folder in the first layout that recognises it.

    Args:
        without_table: Whether images of HAM10000 need no table. An unfinished download looks like that, so
            nothing is split or trained this way.

    Raises:
        DataError: If the folder does not exist, no layout recognises it, or it can be read in two ways.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: expected a data folder but found none.")
    for read in (*LAYOUTS, *((read_images_alone,) if without_table else ())):
        listing = read(folder)
        if listing is not None:
            return add_lesions(_with_inert_names(listing), folder)
    raise DataError(
        f"{folder}: expected HAM10000_metadata.csv (Kaggle, Dataverse), *_GroundTruth.csv (ISIC challenge), "
        "PH2, derm7pt, PAD-UFES-20, a CSV with image_id and dx beside images, or folders named by "
        "diagnosis, but found none of these. docs/data.md shows each."
    )


def _with_inert_names(listing: Listing) -> Listing:
    """Return the listing with names that no spreadsheet takes for a formula; tables of a run hold them."""
    table = listing.table.copy()
    for column in {"image_id", "lesion_id"} & set(table):
        table[column] = table[column].map(inert_name, na_action="ignore")
    return replace(
        listing, table=table, images={inert_name(name): path for name, path in listing.images.items()}
    )
