"""Data folders as people have them, each read into the same raw table.

Here: recognising a layout. Not here: judging what was read (`findings`) and cleaning it (`dataset`).

A new layout is one function `read_x(folder) -> Listing | None` in `LAYOUTS`; the more particular come first.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

from lesionwise.data.layouts.folders import read_class_folders, read_ph2
from lesionwise.data.layouts.forms import read_form, read_merged, why_no_table
from lesionwise.data.layouts.ham10000 import read_hmnist, read_images_alone, read_kaggle
from lesionwise.data.layouts.isic import is_part, read_isic
from lesionwise.data.layouts.listing import PLACE, Listing, add_lesions, note_unread
from lesionwise.data.layouts.packed import read_dermamnist, read_parquet, refuse_hdf5
from lesionwise.diagnoses import code_of
from lesionwise.errors import DataError
from lesionwise.files import is_litter
from lesionwise.names import inert_name

__all__ = ["LAYOUTS", "PLACE", "Listing", "is_data_folder", "read_listing", "real_folder"]

LAYOUTS: Final[tuple[Callable[[Path], Listing | None], ...]] = (
    read_merged,
    read_kaggle,
    read_hmnist,
    read_ph2,
    read_isic,
    read_form,
    read_dermamnist,
    read_parquet,
    read_class_folders,
    refuse_hdf5,
)


def read_listing(folder: Path, *, without_table: bool = False) -> Listing:
    """Read a folder in the first layout that recognises it.

    Args:
        folder: Data folder, or the path of one part of a challenge (`isic.part_folder`).
        without_table: Whether images of HAM10000 need no table. An unfinished download looks like that, so
            nothing is split or trained this way.
    """
    if not is_data_folder(folder):
        raise DataError(f"{folder}: expected a data folder but found none.")
    folder = real_folder(folder) if folder.is_dir() else folder
    for read in (*LAYOUTS, *((read_images_alone,) if without_table else ())):
        listing = read(folder)
        if listing is not None:
            place = real_folder(folder)
            named = add_lesions(_with_inert_names(listing), place)
            return replace(named, notes=(*named.notes, *note_unread(place)))
    unread = " ".join(why_no_table(folder)) if folder.is_dir() else ""
    raise DataError(
        f"{folder}: expected HAM10000_metadata.csv (Kaggle, Dataverse), *_GroundTruth.csv (ISIC challenge), "
        "the table of another collection, a table with image_id and dx beside images, or folders named by "
        f"diagnosis, but found none of these. docs/data.md lists them all. {unread}".rstrip()
    )


def real_folder(folder: Path) -> Path:
    """Return the folder in which the files of a data folder, or of one part of a challenge, are.

    If an archive unpacks to a folder that holds nothing but another folder, the inner one is returned.
    """
    if not folder.is_dir():
        return folder.parent
    shown = [path for path in folder.iterdir() if not is_litter(path.name)]
    alone = len(shown) == 1 and shown[0].is_dir() and not shown[0].is_symlink()
    return real_folder(shown[0]) if alone and code_of(shown[0].name) is None else folder


def is_data_folder(folder: Path) -> bool:
    """Return whether a path is a folder, or stands for one part of a challenge in a folder."""
    return folder.is_dir() or is_part(folder)


def _with_inert_names(listing: Listing) -> Listing:
    """Return the listing with names that no spreadsheet takes for a formula; tables of a run hold them."""
    table = listing.table.copy()
    for column in {"image_id", "lesion_id"} & set(table):
        table[column] = table[column].map(inert_name, na_action="ignore")
    return replace(
        listing, table=table, images={inert_name(name): path for name, path in listing.images.items()}
    )
