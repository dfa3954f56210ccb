"""Tables about images: their true diagnosis, their lesion, and what else is known of them.

Here: reading any of the forms they come in, and joining them to predictions. Not here: the checks that a
table for training goes through (`lesionwise.data`).
"""

from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from lesionwise.errors import DataError
from lesionwise.evaluation.predictions import CHALLENGE_COLUMNS, Predictions
from lesionwise.labels import CODES, INDEX
from lesionwise.names import is_end_of, match_names
from lesionwise.wording import counted

_SPELLINGS: Final = {
    "image": "image_id",
    "isic_id": "image_id",
    "y_true": "dx",
    "age_approx": "age",
    "anatom_site_general": "localization",
    "diagnosis_confirm_type": "dx_type",
}
"""Other names of columns: ISIC challenge and ISIC archive, by ours."""


def read_table(path: Path) -> pd.DataFrame:
    """Read a table about images.

    Args:
        path: A CSV with an image id (`image_id`, `image` or `isic_id`) and any of: the seven one-hot columns
            of an ISIC ground truth, `dx`, `lesion_id`, `group`, `age`, `sex`, `localization`, `dx_type`.

    Raises:
        DataError: If the file cannot be read, has no image id, repeats an image, or holds a diagnosis that is
            none of the seven.
    """
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False, skipinitialspace=True)
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read as a table: {error}.") from error
    table = table.rename(
        columns={theirs: ours for theirs, ours in _SPELLINGS.items() if ours not in table.columns}
    )
    if "image_id" not in table:
        raise DataError(f"{path}: expected a column image_id, image or isic_id but found none.")
    twice = table.loc[table["image_id"].duplicated(), "image_id"]
    if len(twice):
        raise DataError(f"{path}: {twice.iloc[0]} stands in more than one row.")
    if set(CHALLENGE_COLUMNS) <= set(table):
        table["dx"] = _from_one_hot(table, path)
    if "dx" in table:
        table["dx"] = table["dx"].str.strip().str.lower()
        unknown = table.loc[~table["dx"].isin(CODES), ["image_id", "dx"]]
        if len(unknown):
            image, dx = unknown.iloc[0]
            raise DataError(f"{path}: expected a diagnosis among {', '.join(CODES)} but {image} has {dx!r}.")
    return table


def join_truth(predictions: Predictions, truth: pd.DataFrame, source: str) -> Predictions:
    """Return the predictions with the true diagnoses of a table that covers the same images.

    A prediction that is missing is an error: leaving out what is hard to tell would raise any score.

    Args:
        truth: As `read_table` returns it, with `dx`.

    Raises:
        DataError: If there is no `dx`, or an image is on one side alone.
    """
    if "dx" not in truth:
        raise DataError(f"{source}: expected a diagnosis (dx, or the seven one-hot columns) but found none.")
    images, predicted = truth["image_id"].tolist(), predictions.image_id.tolist()
    unpredicted = sorted(set(images) - set(match_names(images, predicted)))
    if unpredicted:
        lost = unpredicted[0]
        alike = [name for name in predicted if is_end_of(lost, name)]
        if len(alike) > 1:
            raise DataError(
                f"{source}: {lost} fits several predictions, {' and '.join(alike[:2])}. Predict one of these "
                "files, or name both in the truth as the predictions do."
            )
        raise DataError(
            f"{source}: {len(unpredicted)} of {counted(len(images), 'image')}, such as {lost}, have no "
            f"prediction; the predictions name images such as {min(predicted)}. Predict them too, or pass a "
            "truth of the predicted images only."
        )
    return join_table(predictions, truth, source)


def join_table(predictions: Predictions, table: pd.DataFrame, source: str) -> Predictions:
    """Return the predictions with the diagnoses and lesions that a table knows.

    Args:
        table: As `read_table` returns it; rows of other images are passed over. The lesion is taken from
            `group`, else from `lesion_id`.

    Raises:
        DataError: If an image is not in the table, has no lesion there, or has another diagnosis there.
    """
    rows = rows_of(predictions, table, source)
    joined = predictions
    if "dx" in rows:
        y_true = np.asarray(rows["dx"].map(INDEX), np.int64)
        if predictions.y_true is not None and (predictions.y_true != y_true).any():
            first = int(np.flatnonzero(predictions.y_true != y_true)[0])
            raise DataError(
                f"{source}: {predictions.image_id[first]} is {CODES[y_true[first]]} there but "
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
    """Return the rows of the predicted images, in their order.

    Raises:
        DataError: If an image is not in the table.
    """
    images, known = predictions.image_id.tolist(), table["image_id"].tolist()
    name = match_names(images, known)
    lost = sorted(set(images) - set(name))
    if lost:
        raise DataError(
            f"{source}: {len(lost)} of {len(images)} predicted images, such as {lost[0]}, are not in it; it "
            f"names images such as {min(known, default='none')}."
        )
    rows: pd.DataFrame = table.set_index("image_id", drop=False).loc[[name[image] for image in images]]
    return rows.reset_index(drop=True)


def _from_one_hot(table: pd.DataFrame, path: Path) -> pd.Series:
    try:
        hot = table[CHALLENGE_COLUMNS].astype(float).to_numpy()
    except ValueError as error:
        raise DataError(f"{path}: expected 0 or 1 in the columns of diagnoses: {error}.") from error
    wrong = ~(np.isin(hot, (0, 1)).all(axis=1) & (hot.sum(axis=1) == 1))
    if wrong.any():
        image = table["image_id"].iloc[int(np.flatnonzero(wrong)[0])]
        raise DataError(
            f"{path}: expected exactly one diagnosis of each image to be 1 and the others 0 "
            f"but those of {image} are {', '.join(f'{value:g}' for value in hot[wrong][0])}."
        )
    return pd.Series(np.asarray(CODES)[hot.argmax(axis=1)], index=table.index)
