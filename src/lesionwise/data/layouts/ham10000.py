"""HAM10000 as Kaggle and Dataverse give it: a metadata CSV and folders of images; and its `hmnist_*.csv`."""

import math
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from lesionwise.data.known_lesions import known_lesions
from lesionwise.data.layouts.forms import Form, listing_of
from lesionwise.data.layouts.listing import OTHER_PARTS, Listing, find_images, read_table
from lesionwise.data.layouts.packed import write_images
from lesionwise.encoding import encoded
from lesionwise.errors import DataError, reraised
from lesionwise.wording import counted

METADATA_NAMES: Final = ("HAM10000_metadata.csv", "HAM10000_metadata.tab", "HAM10000_metadata")
# Order of the labels in hmnist_*.csv, which is not ours. Every row is compared with the metadata.
_HMNIST_CODES: Final = ("akiec", "bcc", "bkl", "df", "nv", "vasc", "mel")


def metadata_file(folder: Path) -> Path | None:
    """Return the metadata of HAM10000 in a folder, if it is there."""
    names = [name.lower() for name in METADATA_NAMES]
    found = [path for path in folder.glob("*") if path.name.lower() in names and path.is_file()]
    return min(found, key=lambda path: names.index(path.name.lower()), default=None)


def read_kaggle(folder: Path) -> Listing | None:
    """Read the layout of Kaggle and Dataverse.

    The Kaggle archive holds its image folders twice, once in lower case; an image id is taken once. A folder
    with the metadata and `hmnist_*.csv` but no image file is left to `read_hmnist`. Folders of the test and
    validation parts of a challenge beside them are passed over.
    """
    metadata = metadata_file(folder)
    if metadata is None:
        return None
    images = find_images([folder], without=OTHER_PARTS)
    if not images and any(folder.glob("hmnist_*.csv")):
        return None
    return listing_of(Form("kaggle", ()), metadata, read_table(metadata), images)


def read_hmnist(folder: Path) -> Listing | None:
    """Read `hmnist_28_28_RGB.csv` and its like: HAM10000 shrunk to a row of pixel values for each image.

    The rows have no id. They are in the order of `HAM10000_metadata.csv`, which must be in the folder and
    whose diagnoses must agree in every row. The pixels are written as PNG files into the cache, once.
    """
    tables = sorted(folder.glob("hmnist_*.csv"))
    if not tables:
        return None
    largest = max(tables, key=lambda path: path.stat().st_size)  # most pixels, colour before grey
    metadata = metadata_file(folder)
    if metadata is None:
        raise DataError(
            f"{largest}: has no image ids, so photographs of one lesion cannot be kept together. Put "
            "HAM10000_metadata.csv of the same archive beside it."
        )
    table = read_table(metadata)
    values = _read_hmnist_values(largest)
    _verify_rows(values["label"], table, largest, metadata)
    pixels = values.drop(columns="label").to_numpy(np.uint8)
    shape = _image_shape(largest, pixels.shape[1])
    packed = (partial(encoded, row.reshape(shape), "PNG") for row in pixels)
    images = write_images(largest, table["image_id"].tolist(), packed)
    return listing_of(Form("hmnist", ()), metadata, table, images)


def read_images_alone(folder: Path) -> Listing | None:
    """Read images of HAM10000 without a table: diagnosis and lesion are those of the table that ships.

    Age, sex and site are not known then. If an image has another id, the folder is not recognised.
    """
    images = find_images([folder])
    known = known_lesions()
    table = known[known["image_id"].isin(list(images))]
    if not images or len(table) < len(images):
        return None
    note = "The images are from HAM10000. Their diagnoses and lesions are those of the included table."
    return Listing("ham10000 images", folder, table.reset_index(drop=True), images, notes=(note,))


def _read_hmnist_values(path: Path) -> pd.DataFrame:
    with reraised(DataError, f"{path}: cannot be read as CSV: ", OSError, ValueError):
        values = pd.read_csv(path)
    pixels = [column for column in values.columns if column != "label"]
    if "label" not in values or pixels != [f"pixel{number:04d}" for number in range(len(pixels))]:
        raise DataError(f"{path}: expected the columns pixel0000, pixel0001, … and label but found others.")
    return values


def _verify_rows(label: "pd.Series[int]", table: pd.DataFrame, path: Path, metadata: Path) -> None:
    if len(label) != len(table):
        raise DataError(
            f"{path}: expected {counted(len(table), 'row')} as in {metadata.name} but found {len(label)}."
        )
    codes = label.map(dict(enumerate(_HMNIST_CODES))).to_numpy()
    wrong = np.flatnonzero(codes != table["dx"].to_numpy())
    if len(wrong):
        raise DataError(
            f"{path}: row {wrong[0] + 2} is {codes[wrong[0]]} but {metadata.name} says "
            f"{table['dx'].iloc[wrong[0]]}; {counted(len(wrong), 'row differs', 'rows differ')}. Take both "
            "files from one archive."
        )


def _image_shape(path: Path, values: int) -> tuple[int, ...]:
    for shape in ((math.isqrt(values),) * 2, (*(math.isqrt(values // 3),) * 2, 3)):
        if math.prod(shape) == values:
            return shape
    raise DataError(
        f"{path}: expected the pixels of a square image in each row but found {counted(values, 'value')}."
    )
