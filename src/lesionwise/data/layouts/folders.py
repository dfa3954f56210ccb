"""Folders of one's own: a CSV beside images, or one folder for each diagnosis."""

from pathlib import Path
from typing import Final

import pandas as pd

from lesionwise.data.layouts.listing import Listing, find_images, read_table
from lesionwise.errors import DataError
from lesionwise.labels import CODES
from lesionwise.names import IMAGE_SUFFIXES

_LESIONS_ADVICE: Final = (
    "Name the lesion of each image in lesions.csv (image_id,lesion_id) in the folder: without it photographs "
    "of one lesion cannot be kept together. If no lesion was photographed twice, say so: "
    '"lesionwise data lesions DIR --each-image".'
)


def read_csv_and_images(folder: Path) -> Listing | None:
    """Read a folder with one CSV that has the columns image_id and dx, and images anywhere below."""
    found = {path: read_table(path) for path in sorted(folder.glob("*.csv")) if path.name != "lesions.csv"}
    tables = {path: table for path, table in found.items() if {"image_id", "dx"} <= set(table.columns)}
    if len(tables) > 1:
        names = ", ".join(path.name for path in tables)
        raise DataError(f"{folder}: expected one CSV with image_id and dx but found {names}. Keep one there.")
    for path, table in tables.items():
        return Listing("csv", path, table, find_images([folder]), {"lesion_id": _LESIONS_ADVICE})
    return None


def read_class_folders(folder: Path) -> Listing | None:
    """Read folders named by diagnosis: `mel/…`, `nv/…`; below `train/`, `test/` and the like if so kept.

    Folder names are the seven codes in any case. Other folders that hold images are a fault: whether they
    are a diagnosis cannot be guessed.

    Raises:
        DataError: If images are outside the seven folders, or one file name is in two.
    """
    paths = sorted(path for path in folder.rglob("*") if _is_image(path))
    dx = {path: path.parent.name.lower() for path in paths}
    if not any(code in CODES for code in dx.values()):
        return None
    strays = sorted({path.parent.relative_to(folder).as_posix() for path in paths if dx[path] not in CODES})
    if strays:
        raise DataError(
            f"{folder}: expected images in folders named {', '.join(CODES)} only but found some in "
            f"{', '.join(strays)}. Rename these folders or move them away."
        )
    twice = pd.Series([path.stem for path in paths]).loc[lambda stems: stems.duplicated()]
    if len(twice):
        where = ", ".join(path.relative_to(folder).as_posix() for path in paths if path.stem == twice.iloc[0])
        raise DataError(
            f"{folder}: {twice.iloc[0]} stands in more than one folder ({where}). Keep one of them."
        )
    table = pd.DataFrame({"image_id": [path.stem for path in paths], "dx": [dx[path] for path in paths]})
    table.index = pd.RangeIndex(2, len(table) + 2)
    images = {path.stem: path for path in paths}
    return Listing("class folders", folder, table, images, {"lesion_id": _LESIONS_ADVICE})


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")
