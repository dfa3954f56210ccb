"""Scores of subgroups: does the model serve women and men, young and old, face and back alike.

Here: cutting the images by what the table says and scoring each part. Not here: joining the table (`tables`).

Subgroups differ in which diagnoses they hold, and so in how hard they are: a gap between two of them is a
question, not yet a finding. Counts stand beside every score, and small subgroups get no score.
"""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from lesionwise.evaluation.bootstrap import RESAMPLES, fraction_estimate
from lesionwise.evaluation.evaluate import Score, draw_scores
from lesionwise.evaluation.ranking import binary_auc_score
from lesionwise.evaluation.scores import accuracy_score, recall_per_class
from lesionwise.evaluation.weights import Floats
from lesionwise.labels import INDEX, MALIGNANT

COLUMNS: Final = ("sex", "age", "localization", "dx_type")
AGE_BANDS: Final = {0: "under 30", 30: "30 to 44", 45: "45 to 59", 60: "60 to 74", 75: "75 and over"}
LEAST_LESIONS: Final = 10  # below it an interval spans nearly everything
_MALIGNANT: Final = [INDEX[code] for code in MALIGNANT]
_MEL: Final = INDEX["mel"]


def malignant_auc_score(y_true: ArrayLike, y_prob: ArrayLike, weights: ArrayLike | None = None) -> Floats:
    """Return the area under the ROC curve of malignant or pre-malignant against benign.

    Args:
        y_true: Class index of each sample, shape (N,).
        y_prob: Class probabilities, shape (N, 7); those of the malignant diagnoses are added up.
        weights: How often each sample counts, shape (R, N).

    Returns:
        A number, or shape (R,); NaN where all samples are malignant or all benign.
    """
    positive = np.isin(np.asarray(y_true), _MALIGNANT)
    return binary_auc_score(positive, np.asarray(y_prob, float)[:, _MALIGNANT].sum(axis=1), weights)


def melanoma_recall_score(y_true: ArrayLike, y_prob: ArrayLike, weights: ArrayLike | None = None) -> Floats:
    """Return the fraction of melanoma images that were called melanoma. Arguments as above."""
    return np.asarray(recall_per_class(y_true, y_prob, weights)[..., _MEL])


SCORES: Final[Mapping[str, Score]] = {
    "accuracy": accuracy_score,
    "malignant_auc": malignant_auc_score,
    "melanoma_recall": melanoma_recall_score,
}


def age_band(age: pd.Series) -> pd.Series:
    """Return the band of each age in years; "unknown" where it is missing or no number."""
    years = pd.to_numeric(age, errors="coerce")
    edges = [*AGE_BANDS, np.inf]
    bands = pd.cut(years, edges, right=False, labels=list(AGE_BANDS.values()))
    return bands.astype(object).where(years.notna() & (years >= 0), "unknown").astype(str)


def evaluate_subgroups(
    y_true: ArrayLike,
    y_prob: ArrayLike,
    groups: ArrayLike,
    table: pd.DataFrame,
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> list[dict[str, Any]]:
    """Score each subgroup of each column of `COLUMNS` that the table has.

    Args:
        y_true: Class index of each image, shape (N,).
        y_prob: Class probabilities, shape (N, 7).
        groups: Lesion of each image, shape (N,).
        table: A row per image in the same order.
        resamples: How many resamples the intervals rest on.
        seed: Of the resampling.

    Returns:
        A row per subgroup: `column`, `value`, `images`, `lesions`, `malignant` and `melanomas` (images), and
        each score of `SCORES` as value, low and high, or None where it rests on fewer than
        `LEAST_LESIONS` lesions.
    """
    truth, prob, lesions = np.asarray(y_true), np.asarray(y_prob, float), np.asarray(groups)
    rows = []
    for column in (name for name in COLUMNS if name in table):
        values = _values(table, column)
        for value in _ordered(column, values):
            inside = np.flatnonzero(values == value)
            row = _score(truth[inside], prob[inside], lesions[inside], resamples=resamples, seed=seed)
            rows.append({"column": column, "value": value, **row})
    return rows


def _values(table: pd.DataFrame, column: str) -> NDArray[np.object_]:
    if column == "age":
        return age_band(table["age"]).to_numpy(object)
    text = table[column].fillna("").astype(str).str.strip().str.lower()
    return text.replace("", "unknown").to_numpy(object)


def _ordered(column: str, values: NDArray[np.object_]) -> list[str]:
    """Return ages as they rise, all else by size; unknown last."""
    names, counts = np.unique(values.astype(str), return_counts=True)
    size = dict(zip(names.tolist(), counts.tolist(), strict=True))
    rank = {band: index for index, band in enumerate(AGE_BANDS.values())}
    return sorted(size, key=lambda name: (name == "unknown", rank[name] if column == "age" and name in rank
                                          else -size[name], name))  # fmt: skip


def _score(
    truth: NDArray[np.int64], prob: Floats, lesions: NDArray[Any], *, resamples: int, seed: int
) -> dict[str, Any]:
    malignant, melanoma = np.isin(truth, _MALIGNANT), truth == _MEL
    total = len(np.unique(lesions))
    rests_on = {
        "accuracy": total,
        "malignant_auc": min(len(np.unique(lesions[malignant])), len(np.unique(lesions[~malignant]))),
        "melanoma_recall": len(np.unique(lesions[melanoma])),
    }
    wanted = {name: score for name, score in SCORES.items() if rests_on[name] >= LEAST_LESIONS}
    drawn = draw_scores(wanted, truth, prob, lesions, resamples=resamples, seed=seed) if wanted else {}
    row: dict[str, Any] = {
        "images": len(truth),
        "lesions": total,
        "malignant": int(malignant.sum()),
        "melanomas": int(melanoma.sum()),
    }
    for name, score in SCORES.items():
        row[name] = None
        if name in wanted:
            value = float(score(truth, prob, None))
            row[name] = vars(fraction_estimate(value, drawn[name], rests_on[name]))
    return row
