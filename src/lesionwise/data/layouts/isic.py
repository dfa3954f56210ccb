"""The ISIC challenges of 2018 (Task 3: HAM10000 and its test set) and 2019: truth, metadata, input folder."""

from pathlib import Path
from typing import Final

import pandas as pd

from lesionwise.data.layouts.label_maps import ISIC_CHALLENGE
from lesionwise.data.layouts.listing import Listing, find_images, only_file, read_table
from lesionwise.errors import DataError

_CONFIRMATION: Final = {
    "histopathology": "histo",
    "serial imaging showing no change": "follow_up",
    "single image expert consensus": "consensus",
    "confocal microscopy with consensus dermoscopy": "confocal",
}
_CONTAINS_HAM10000: Final = (
    "ISIC 2019 contains HAM10000 (images ISIC_0024306 to ISIC_0034320): a model trained on HAM10000 has seen "
    "them. Leave them out before scoring one on the other."
)


def read_isic(folder: Path) -> Listing | None:
    """Read a folder of an ISIC challenge: `*_GroundTruth.csv`, groupings or metadata, `*_Input`.

    The truth is one-hot, one column for each diagnosis; or, for the ISIC 2018 test set as Dataverse gives it,
    has the columns of HAM10000.
    """
    truth = only_file(folder, "*_GroundTruth.csv", what="*_GroundTruth.csv")
    if truth is None:
        return None
    table = read_table(truth)
    left_out: dict[str, tuple[str, ...]] = {}
    if "image" in table:
        table, left_out = _from_one_hot(table, truth)
        table = _add_groupings(_add_metadata(table, folder), folder)
    inputs = [path for path in sorted(folder.rglob("*_Input")) if path.is_dir()]
    advice = {
        "lesion_id": "Put ISIC2018_Task3_Training_LesionGroupings.csv (2018) or "
        "ISIC_2019_Training_Metadata.csv (2019) into the folder: without it photographs of one lesion cannot "
        'be kept together. For a collection that has none, see "lesionwise data lesions --help".'
    }
    notes = (_CONTAINS_HAM10000,) if truth.name.startswith("ISIC_2019_Training") else ()
    return Listing("isic", truth, table, find_images(inputs or [folder]), advice, left_out, notes)


def _from_one_hot(truth: pd.DataFrame, path: Path) -> tuple[pd.DataFrame, dict[str, tuple[str, ...]]]:
    """Turn the columns image,MEL,NV,… into image_id and dx; a row that is not one-hot has no dx."""
    columns = [column for column in truth.columns if column in ISIC_CHALLENGE]
    unknown = sorted(set(truth.columns) - set(columns) - {"image", "score_weight", "validation_weight"})
    if unknown or not columns:
        raise DataError(
            f"{path}: expected image and the columns {', '.join(ISIC_CHALLENGE)} "
            f"but found {', '.join(unknown)}."
        )
    try:
        hot = truth[columns].astype(float) == 1
    except ValueError as error:
        raise DataError(f"{path}: expected 0.0 or 1.0 in every cell: {error}.") from error
    name = hot.idxmax(axis=1).astype(str).where(hot.sum(axis=1) == 1)
    table = pd.DataFrame({"image_id": truth["image"], "dx": name.map(ISIC_CHALLENGE)}, index=truth.index)
    foreign = name.map(lambda value: value in ISIC_CHALLENGE and ISIC_CHALLENGE[value] is None)
    left_out = {
        str(key): tuple(ids.dropna())
        for key, ids in truth["image"][foreign].groupby(name[foreign])
        if len(ids)
    }
    return table[~foreign], left_out


def _add_groupings(table: pd.DataFrame, folder: Path) -> pd.DataFrame:
    path = only_file(folder, "*_LesionGroupings.csv", what="*_LesionGroupings.csv")
    if path is None:
        return table
    groups = _by_image(path)
    kind = groups["diagnosis_confirm_type"] if "diagnosis_confirm_type" in groups else pd.Series(dtype=str)
    return table.assign(
        lesion_id=table["image_id"].map(groups["lesion_id"]),
        dx_type=table["image_id"].map(kind).map(_CONFIRMATION),
    )


def _add_metadata(table: pd.DataFrame, folder: Path) -> pd.DataFrame:
    path = only_file(folder, "ISIC_2019_*_Metadata.csv", what="ISIC_2019_*_Metadata.csv")
    if path is None:
        return table
    facts = _by_image(path)
    ours = {
        "lesion_id": "lesion_id",
        "age_approx": "age",
        "sex": "sex",
        "anatom_site_general": "localization",
    }
    found = {ours[name]: table["image_id"].map(facts[name]) for name in ours if name in facts}
    return table.assign(**found)


def _by_image(path: Path) -> pd.DataFrame:
    table = read_table(path)
    if "image" not in table or table["image"].duplicated().any():
        raise DataError(f"{path}: expected a column image with each image once.")
    return table.set_index("image")
