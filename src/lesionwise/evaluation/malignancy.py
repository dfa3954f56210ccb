"""Malignant against benign: scores on a truth that says no more than that, such as ISIC 2020 and 2024.

The score is the sum of the malignant probabilities. Not here: the seven diagnoses (`scores.evaluate`).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from lesionwise.arrays import Floats
from lesionwise.diagnoses import add_diagnoses, malignancy_of
from lesionwise.errors import DataError
from lesionwise.evaluation.predictions import Predictions
from lesionwise.evaluation.scores.bootstrap import Estimate, fraction_estimate
from lesionwise.evaluation.scores.evaluate import draw_scores
from lesionwise.evaluation.scores.ranking import binary_auc_score
from lesionwise.evaluation.tables import predicted, read_images
from lesionwise.files import JsonRecord
from lesionwise.labels import INDEX, MALIGNANT

_MALIGNANT: Final = [INDEX[code] for code in MALIGNANT]


@dataclass(frozen=True)
class MalignancyScores(JsonRecord):
    """Scores of malignant against benign, each with its interval, and what they rest on.

    Attributes:
        unknown: Number of images of the truth that are neither, which are left out.
    """

    scores: dict[str, Estimate]
    images: int
    malignant: int
    lesions: int
    unknown: int


def read_malignancy(path: Path) -> pd.DataFrame:
    """Read `malignancy` from `benign_malignant`, `target`, `diagnosis_1` or a diagnosis; "" if neither."""
    table = read_images(path)
    found = malignancy_of(table)
    if found is None:
        table = add_diagnoses(table)
        if "dx" in table:
            kinds = {code: "malignant" if code in MALIGNANT else "benign" for code in INDEX}
            found = table["dx"].map(lambda dx: kinds.get(dx, ""))
    if found is None:
        raise DataError(
            f"{path}: expected benign_malignant, target, diagnosis_1 or a diagnosis, but found "
            f"{', '.join(table.columns[:8])}."
        )
    kept = [name for name in ("image_id", "lesion_id") if name in table]
    return table.assign(malignancy=found)[[*kept, "malignancy"]]


def evaluate_malignancy(
    predictions: Predictions, truth: pd.DataFrame, source: str, *, by_image: bool = False
) -> MalignancyScores:
    """Score malignant against benign, resampling lesions. `truth`: as `read_malignancy` returns it."""
    wanted = truth[truth["malignancy"] != ""]
    answers = predicted(predictions, wanted["image_id"].tolist(), source)
    lesions = _lesions(answers, wanted, source, by_image=by_image)
    y_true = (wanted["malignancy"] == "malignant").to_numpy(np.int64)
    if len(set(y_true.tolist())) < 2:  # noqa: PLR2004 (malignant and benign)
        raise DataError(f"{source}: expected malignant and benign images but found only one kind.")
    drawn = draw_scores(_SCORES, y_true, answers.y_prob, lesions)
    sides = {kind: len(np.unique(lesions[y_true == kind])) for kind in (0, 1)}
    rests_on = {"malignant_auc": min(sides.values()), "sensitivity": sides[1], "specificity": sides[0]}
    scores = {
        name: fraction_estimate(float(score(y_true, answers.y_prob, None)), drawn[name], rests_on[name])
        for name, score in _SCORES.items()
    }
    return MalignancyScores(
        scores, len(y_true), int(y_true.sum()), len(np.unique(lesions)), len(truth) - len(wanted)
    )


def _lesions(answers: Predictions, truth: pd.DataFrame, source: str, *, by_image: bool) -> NDArray[np.str_]:
    if by_image:
        return truth["image_id"].to_numpy(str)
    if answers.group is not None:
        return answers.group
    if "lesion_id" in truth and (truth["lesion_id"] != "").all():
        return truth["lesion_id"].to_numpy(str)
    raise DataError(
        f"{source}: the lesion of each image is missing. Add the column lesion_id, or pass --by image: "
        "intervals are then too narrow."
    )


def _malignant_auc(y_true: ArrayLike, y_prob: ArrayLike, weights: ArrayLike | None = None) -> Floats:
    return binary_auc_score(np.asarray(y_true) == 1, np.asarray(y_prob)[:, _MALIGNANT].sum(axis=1), weights)


def _called(kind: int) -> Callable[..., Floats]:
    """Return the score that says how many of one kind have a likeliest diagnosis of that kind."""

    def score(y_true: ArrayLike, y_prob: ArrayLike, weights: ArrayLike | None = None) -> Floats:
        own = np.asarray(y_true) == kind
        right = np.isin(np.asarray(y_prob)[own].argmax(axis=1), _MALIGNANT) == bool(kind)
        counts = np.ones((1, len(own))) if weights is None else np.asarray(weights, float)
        value = counts[:, own] @ right / counts[:, own].sum(axis=1)
        return np.asarray(value if weights is not None else value[0])

    return score


_SCORES: Final[Mapping[str, Callable[..., Floats]]] = {
    "malignant_auc": _malignant_auc,
    "sensitivity": _called(1),
    "specificity": _called(0),
}
