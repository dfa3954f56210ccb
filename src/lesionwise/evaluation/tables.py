"""Tables about images: their true diagnosis, their lesion, and what else is known of them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from lesionwise import tables
from lesionwise.diagnoses import DIAGNOSIS_COLUMNS, add_diagnoses, hot_columns
from lesionwise.errors import DataError
from lesionwise.evaluation.predictions import Predictions
from lesionwise.labels import CODES, INDEX
from lesionwise.names import is_end_of, match_names
from lesionwise.text_tables import ID_NAMES
from lesionwise.wording import counted, listed

USED: Final = (
    *("image_id", "lesion_id", "group", *DIAGNOSIS_COLUMNS),
    *("age", "sex", "localization", "dx_type", "skin_tone", "collection"),
)
"""Columns that scores and subgroups use."""


def read_table(path: Path) -> pd.DataFrame:
    """Read a table about images.

    Args:
        path: A table with an image id and any of the columns `USED`, or what `text_tables` knows them
            as; the diagnosis as `lesionwise.diagnoses` finds it.

    Returns:
        Text columns under our names, one row per image; with a diagnosis, `dx` and `foreign`.
    """
    table = add_diagnoses(read_images(path))
    if "dx" in table:
        _verify_diagnoses(table, path)
    return table


def read_images(path: Path) -> pd.DataFrame:
    """Read a table with one row for each image, as text under our names."""
    table = tables.read_table(path).frame()
    if "image_id" not in table:
        raise DataError(
            f"{path}: expected a column of image ids ({ID_NAMES}) but found "
            f"{', '.join(table.columns[:8])}. Where several files name images, lesions and diagnoses, pass "
            "their folder."
        )
    tables.verify_once(table["image_id"], path)
    return table


def _verify_diagnoses(table: pd.DataFrame, path: Path) -> None:
    unknown = table[~table["dx"].isin(CODES) & (table["foreign"] == "")]
    if unknown.empty:
        return
    image, dx = unknown[["image_id", "dx"]].iloc[0]
    hot = hot_columns(table.columns)
    if dx or not hot:
        raise DataError(f"{path}: expected a diagnosis among {', '.join(CODES)} but {image} has {dx!r}.")
    raise DataError(
        f"{path}: expected exactly one diagnosis of each image to be 1 and the others 0 but those of {image} "
        f"are {', '.join(unknown[hot].iloc[0])}."
    )


def leave_out_foreign(
    predictions: Predictions, table: pd.DataFrame
) -> tuple[Predictions, pd.DataFrame, dict[str, int]]:
    """Return both without the images that have none of the seven diagnoses, and counts of what they have."""
    rest, counts = without_foreign(table)
    if not counts:
        return predictions, table, {}
    images = predictions.image_id.tolist()
    name = match_names(images, table["image_id"].tolist())
    lost = set(table["image_id"]) - set(rest["image_id"])
    kept = np.array([name.get(image) not in lost for image in images])
    return predictions.take(kept), rest, counts


def without_foreign(table: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, int]]:
    """Return the rows with one of the seven diagnoses, and the number of the others by their diagnosis."""
    if "foreign" not in table:
        return table, {}
    foreign = table["foreign"][table["foreign"] != ""]
    counts = {str(name): int(count) for name, count in foreign.value_counts().items()}
    return table.drop(index=foreign.index), counts


def describe_foreign(counts: Mapping[str, int], source: str) -> str:
    """Return the sentence that says how many images of a table were left out."""
    named = listed([f"{count:,} of {name}" for name, count in counts.items()])
    return (
        f"{source}: {counted(sum(counts.values()), 'image')} left out, because their diagnosis is none of "
        f"the seven: {named}."
    )


def join_truth(predictions: Predictions, truth: pd.DataFrame, source: str) -> Predictions:
    """Return the predictions with the true diagnoses of a table that covers the same images.

    A prediction that is missing is an error: leaving out what is hard to tell would raise any score.
    """
    if "dx" not in truth:
        raise DataError(f"{source}: expected a diagnosis (dx, or the seven one-hot columns) but found none.")
    predicted(predictions, truth["image_id"].tolist(), source)
    return join_table(predictions, truth, source)


def predicted(predictions: Predictions, images: Sequence[str], source: str) -> Predictions:
    """Return the predictions of some images, in their order."""
    names = predictions.image_id.tolist()
    match = match_names(images, names)
    lost = sorted(set(images) - set(match))
    if lost:
        alike = [name for name in names if is_end_of(lost[0], name)]
        if len(alike) > 1:
            raise DataError(
                f"{source}: {lost[0]} matches several predictions, {' and '.join(alike[:2])}. Predict one "
                "of these files, or name both in the truth as the predictions do."
            )
        raise DataError(
            f"{source}: no prediction for {len(lost):,} of {counted(len(images), 'image')}, such as "
            f"{lost[0]}; the predictions name images such as {min(names)}. Predict them too, or pass a "
            "truth of the predicted images only."
        )
    return predictions.named(match[image] for image in images)


def join_table(predictions: Predictions, table: pd.DataFrame, source: str) -> Predictions:
    """Return the predictions with the diagnoses and lesions that a table knows.

    Args:
        table: As `read_table` returns it; rows of other images are passed over. The lesion is taken from
            `group`, else from `lesion_id`.
    """
    rows = rows_of(predictions, table, source)
    joined = predictions
    if "dx" in rows:
        other = rows[~rows["dx"].isin(CODES)]
        if len(other):
            image, dx = other[["image_id", "dx"]].iloc[0]
            raise DataError(
                f"{source}: expected a diagnosis among {', '.join(CODES)} but {image} has {dx!r}."
            )
        y_true = np.asarray(rows["dx"].map(INDEX), np.int64)
        if predictions.y_true is not None and (predictions.y_true != y_true).any():
            first = int(np.flatnonzero(predictions.y_true != y_true)[0])
            raise DataError(
                f"{source}: {predictions.image_id[first]} is {CODES[y_true[first]]} in it but "
                f"{CODES[predictions.y_true[first]]} in the predictions."
            )
        joined = replace(joined, y_true=y_true)
    column = next((name for name in ("group", "lesion_id") if name in rows), None)
    if column and joined.group is None:
        if (rows[column] == "").any():
            raise DataError(f"{source}: {rows.loc[rows[column] == '', 'image_id'].iloc[0]} has no {column}.")
        joined = replace(joined, group=rows[column].to_numpy(str))
    return joined


def rows_of(predictions: Predictions, table: pd.DataFrame, source: str) -> pd.DataFrame:
    """Return the rows of the predicted images, in their order."""
    images, known = predictions.image_id.tolist(), table["image_id"].tolist()
    name = match_names(images, known)
    lost = sorted(set(images) - set(name))
    if lost:
        raise DataError(
            f"{source}: lacks {len(lost):,} of {counted(len(images), 'predicted image')}, such as {lost[0]}; "
            f"it names images such as {min(known, default='none')}."
        )
    rows: pd.DataFrame = table.set_index("image_id", drop=False).loc[[name[image] for image in images]]
    return rows.reset_index(drop=True)
