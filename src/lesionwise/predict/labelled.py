"""Answers of a model for pictures with a known diagnosis.

Not here: their use for calibration and for the order of classes.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from lesionwise.bundle.engine import Engine
from lesionwise.data.dataset import read_dataset
from lesionwise.data.pictures import find_pictures
from lesionwise.errors import DataError
from lesionwise.evaluation.predictions import Predictions
from lesionwise.evaluation.tables import USED, describe_foreign, join_table, read_table, without_foreign
from lesionwise.names import match_names
from lesionwise.split.groups import lesion_groups
from lesionwise.tables import describe_columns
from lesionwise.wording import counted


def predict_labelled(
    engine: Engine, folder: Path, truth: Path | None = None, *, by_image: bool = False
) -> tuple[Predictions, tuple[str, ...]]:
    """Return predictions with truth, lesions and raw outputs, and notes on what was left out.

    Args:
        folder: Folder of images, with a table in a known layout unless `truth` is given.
        truth: Table of true diagnoses, with `lesion_id` or `group`. Images without a row, and rows with
            another diagnosis than the seven, are left out.
        by_image: Whether each picture counts as a lesion of its own, if no lesions are known.

    Raises:
        DataError: If the folder or the table cannot be used, or lesions are missing.
    """
    if truth is None:
        dataset = read_dataset(folder, without_table=True)
        table, names, paths = dataset.table, dataset.table["image_id"].tolist(), dataset.paths
        notes = dataset.about
    else:
        table, counts = without_foreign(read_table(truth))
        notes = (describe_columns(truth, USED), *([describe_foreign(counts, str(truth))] if counts else []))
        names, paths = _pictures_of(table, folder, truth)
    table = _with_groups(table, str(truth or folder), by_image=by_image)
    answers = engine.predict(paths)
    found = Predictions(
        np.asarray(names), answers.probabilities.astype(float), logits=answers.logits.astype(float)
    )
    return join_table(found, table, str(truth or folder)), notes


def _pictures_of(table: pd.DataFrame, folder: Path, truth: Path) -> tuple[list[str], list[Path]]:
    """Return ids and paths of the pictures of a folder that have a row in a table."""
    if "dx" not in table:
        raise DataError(f"{truth}: expected a diagnosis (dx, or the seven one-hot columns) but found none.")
    pictures = {picture.image_id: Path(picture.path) for picture in find_pictures([str(folder)])}
    known = match_names(list(pictures), table["image_id"].tolist())
    missing = sorted(set(table["image_id"]) - set(known.values()))
    if missing:
        raise DataError(
            f"{truth}: {folder} lacks {len(missing):,} of {counted(len(table), 'image')}, such as "
            f"{missing[0]}. Leave these rows out, or pass the folder that has them."
        )
    return list(known), [pictures[name] for name in known]


def _with_groups(table: pd.DataFrame, source: str, *, by_image: bool) -> pd.DataFrame:
    """Return the table with a column `group`."""
    if by_image:
        return table.assign(group=table["image_id"])
    if "group" in table:
        return table
    if "lesion_id" not in table or (table["lesion_id"] == "").any():
        raise DataError(
            f"{source}: expected the lesion of each image (lesion_id or group) but found none. Add it, or "
            "pass --by image if no lesion has two pictures."
        )
    return table.assign(group=lesion_groups(table))
