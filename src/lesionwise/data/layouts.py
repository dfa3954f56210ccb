"""Data folders as people have them, each read into the same raw table.

Here: recognising a layout, reading its table as text, finding its images.
Not here: judging what was read (`findings`) and cleaning it (`dataset`).

A new layout is one function `read_x(folder) -> Listing | None` in `LAYOUTS`.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pandas as pd

from lesionwise.errors import DataError

IMAGE_SUFFIXES: Final = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp"})


@dataclass(frozen=True)
class Listing:
    """What stands in a data folder, unjudged.

    Attributes:
        layout: Name of the layout.
        table_file: The CSV that the rows come from.
        table: Raw text columns; the index is the line number in `table_file`, the header being 1.
        images: Path of each image file by image id (the file name without its suffix).
        advice: What to do if a column is missing, by column.
    """

    layout: str
    table_file: Path
    table: pd.DataFrame
    images: dict[str, Path]
    advice: dict[str, str] = field(default_factory=dict)


def read_listing(folder: Path) -> Listing:
    """Read a folder in the first layout that recognises it.

    Raises:
        DataError: If the folder does not exist or no layout recognises it.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: expected a data folder but found none.")
    for read in LAYOUTS:
        listing = read(folder)
        if listing is not None:
            return listing
    raise DataError(
        f"{folder}: expected HAM10000_metadata.csv (Kaggle, Dataverse) or *_GroundTruth.csv (ISIC challenge) "
        "beside the images but found neither."
    )


def read_kaggle(folder: Path) -> Listing | None:
    """Read the layout of Kaggle and Dataverse: one metadata CSV and folders of images.

    The Kaggle archive holds its image folders twice, once in lower case; an image id is taken once.
    """
    for name in ("HAM10000_metadata.csv", "HAM10000_metadata"):
        if (folder / name).is_file():
            table = _read_csv(folder / name)
            return Listing("kaggle", folder / name, table, _find_images([folder]))
    return None


def read_isic(folder: Path) -> Listing | None:
    """Read the layout of the ISIC 2018 challenge: one-hot truth, lesion groupings, input folder."""
    truth = sorted(folder.rglob("*_GroundTruth.csv"))
    if not truth:
        return None
    table = _from_one_hot(_read_csv(truth[0]))
    groupings = sorted(folder.rglob("*_LesionGroupings.csv"))
    if groupings:
        groups = _read_csv(groupings[0]).set_index("image")
        table["lesion_id"] = table["image_id"].map(groups["lesion_id"])
        table["dx_type"] = table["image_id"].map(groups["diagnosis_confirm_type"]).map(_ISIC_CONFIRMATION)
    advice = {
        "lesion_id": "Put ISIC2018_Task3_Training_LesionGroupings.csv into the folder: "
        "without it photographs of one lesion cannot be kept together."
    }
    inputs = [path for path in sorted(folder.rglob("*_Input")) if path.is_dir()]
    return Listing("isic", truth[0], table, _find_images(inputs or [folder]), advice)


LAYOUTS: Final[tuple[Callable[[Path], Listing | None], ...]] = (read_kaggle, read_isic)

_ISIC_CONFIRMATION: Final = {
    "histopathology": "histo",
    "serial imaging showing no change": "follow_up",
    "single image expert consensus": "consensus",
    "confocal microscopy with consensus dermoscopy": "confocal",
}


def _read_csv(path: Path) -> pd.DataFrame:
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False, na_values=[""], skipinitialspace=True)
    except (OSError, UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise DataError(f"{path}: cannot be read as CSV: {error}.") from error
    table.index = pd.RangeIndex(2, len(table) + 2)
    return table


def _from_one_hot(truth: pd.DataFrame) -> pd.DataFrame:
    """Turn the columns image,MEL,NV,… into image_id and dx; a row that is not one-hot has no dx."""
    codes = [column for column in truth.columns if column != "image"]
    hot = truth[codes].astype(float) == 1
    dx = hot.idxmax(axis=1).astype(str).str.lower().where(hot.sum(axis=1) == 1)
    return pd.DataFrame({"image_id": truth["image"], "dx": dx}, index=truth.index)


def _find_images(folders: Iterable[Path]) -> dict[str, Path]:
    images: dict[str, Path] = {}
    for folder in folders:
        for path in sorted(
            folder.rglob("*")
        ):  # upper case sorts first: its twin in lower case is passed over
            if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith("."):
                images.setdefault(path.stem, path)
    return images
