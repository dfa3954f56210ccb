"""The predictions CSV: one format for every model and every command, and that of the ISIC challenge."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lesionwise.arrays import Booleans, Floats, Integers
from lesionwise.errors import DataError
from lesionwise.evaluation.forms import in_our_form
from lesionwise.evaluation.scores.weights import SUM_TOLERANCE
from lesionwise.files import write_text
from lesionwise.labels import CODES, INDEX
from lesionwise.tables import read_table, verify_once
from lesionwise.text_tables import COLUMNS
from lesionwise.wording import counted

PROB_COLUMNS = [f"prob_{code}" for code in CODES]
LOGIT_COLUMNS = [f"logit_{code}" for code in CODES]
_TEXTS = (*COLUMNS["image_id"], *COLUMNS["path"], "group", "y_true", "model", "model_sha256")


@dataclass(frozen=True)
class Model:
    """Which model predicted: its name, and the SHA-256 of its file."""

    name: str
    sha256: str


@dataclass(frozen=True)
class Predictions:
    """The answers of a model for some images, and what is known of these."""

    image_id: NDArray[np.str_]
    y_prob: Floats
    y_true: Integers | None = None
    group: NDArray[np.str_] | None = None
    logits: Floats | None = None
    model: Model | None = None

    def known(self, source: str) -> tuple[Integers, NDArray[np.str_]]:
        """Return the true diagnoses and the lesions. `source`: names the predictions if one is missing."""
        if self.y_true is None or self.group is None:
            lacking = "y_true" if self.y_true is None else "group"
            raise DataError(f"{source}: expected the columns y_true and group but {lacking} is missing.")
        return self.y_true, self.group

    def take(self, rows: Integers | Booleans) -> "Predictions":
        """Return some images, in the order asked for. `rows`: their places, or a mask of shape (N,)."""
        known = {name: value[rows] for name, value in vars(self).items() if isinstance(value, np.ndarray)}
        return Predictions(**known, model=self.model)

    def named(self, image_ids: Iterable[str]) -> "Predictions":
        """Return the images with these ids, in their order."""
        place = {name: row for row, name in enumerate(self.image_id.tolist())}
        return self.take(np.array([place[name] for name in image_ids], np.int64))

    def sorted(self) -> "Predictions":
        """Return the images in the order of their ids."""
        return self.take(np.argsort(self.image_id))


def write_predictions(predictions: Predictions, path: Path) -> None:
    """Write the CSV whole or not at all; numbers keep seven digits."""
    write_text(path, predictions_csv(predictions))


def predictions_csv(predictions: Predictions) -> str:
    """Return the CSV as text."""
    columns: dict[str, object] = {"image_id": predictions.image_id}
    if predictions.group is not None:
        columns["group"] = predictions.group
    if predictions.y_true is not None:
        columns["y_true"] = np.asarray(CODES)[predictions.y_true]
    columns |= dict(zip(PROB_COLUMNS, predictions.y_prob.T, strict=True))
    if predictions.logits is not None:
        columns |= dict(zip(LOGIT_COLUMNS, predictions.logits.T, strict=True))
    if predictions.model is not None:
        columns |= {"model": predictions.model.name, "model_sha256": predictions.model.sha256}
    return str(pd.DataFrame(columns).to_csv(index=False, float_format="%.7g", lineterminator="\n"))


def read_predictions(
    path: Path, *, normalise: bool = False, classes: Sequence[str] | None = None
) -> Predictions:
    """Read a predictions CSV: ours, that of the ISIC challenge, or one of the forms in `forms`.

    Args:
        normalise: Divide each row by its sum, for confidences that were not made to sum to 1.
    """
    table = in_our_form(read_table(path).frame(texts=_TEXTS, rename=False), str(path), classes)
    for column in ("image_id", "group"):
        _verify_filled(table, column, path)
    verify_once(table["image_id"], path)
    return Predictions(
        image_id=table["image_id"].to_numpy(str),
        y_prob=_probabilities(table, path, normalise=normalise),
        y_true=_class_indices(table, path) if "y_true" in table else None,
        group=table["group"].to_numpy(str) if "group" in table else None,
        logits=table[LOGIT_COLUMNS].to_numpy(float) if set(LOGIT_COLUMNS) <= set(table) else None,
        model=_model(table, path) if {"model", "model_sha256"} <= set(table) else None,
    )


def _model(table: pd.DataFrame, path: Path) -> Model:
    models = table[["model", "model_sha256"]].drop_duplicates()
    if len(models) != 1:
        raise DataError(
            f"{path}: expected the rows of one model but found {len(models)}. Score each model alone."
        )
    return Model(*models.iloc[0].astype(str))


def _verify_filled(table: pd.DataFrame, column: str, path: Path) -> None:
    if column not in table:
        return
    empty = np.flatnonzero(table[column].fillna("").str.strip() == "")
    if len(empty):
        raise DataError(
            f"{path}: expected {column} in every row but row {empty[0] + 2} has none; "
            f"{counted(len(empty), 'row does', 'rows do')}. Fill them in, or leave the rows out."
        )


def _probabilities(table: pd.DataFrame, path: Path, *, normalise: bool) -> Floats:
    try:
        y_prob = table[PROB_COLUMNS].to_numpy(float)
    except ValueError as error:
        raise DataError(f"{path}: expected numbers as probabilities: {error}.") from error
    total = y_prob.sum(axis=1)
    fine = (y_prob >= 0).all(axis=1) & (
        (total > 0) & np.isfinite(total) if normalise else np.abs(total - 1) < SUM_TOLERANCE
    )
    if not fine.all():
        row = int(np.flatnonzero(~fine)[0])
        image = table["image_id"].iloc[row]
        hint = " Pass --normalise if they are confidences that never summed to 1."
        advice = "" if normalise or not np.isfinite(total[row]) else hint
        raise DataError(
            f"{path}: expected probabilities to sum to 1 but those of {image} sum to {total[row]:.4g} "
            f"with a least value of {y_prob[row].min():.4g}.{advice}"
        )
    # Rounded numbers are left alone: dividing by 0.9999999 would separate ties.
    return np.asarray(y_prob / total[:, None] if normalise else y_prob)


def _class_indices(table: pd.DataFrame, path: Path) -> Integers:
    indices = table["y_true"].map(INDEX)
    unknown = table.loc[indices.isna(), "y_true"]
    if len(unknown):
        raise DataError(
            f"{path}: expected y_true to be one of {', '.join(CODES)} (the code, not an index) "
            f"but found {unknown.iloc[0]!r}."
        )
    return np.asarray(indices, np.int64)
