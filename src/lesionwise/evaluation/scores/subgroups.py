"""Scores of subgroups: does the model serve women and men, young and old, face and back equally well?

Not here: joining the table (`tables`) and which gaps are larger than chance (`gaps`).

Subgroups differ in which diagnoses they hold, and so in how hard they are: a gap between two of them is a
question, not yet a finding. Every score has its counts beside it, and small subgroups get no score.
"""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lesionwise.arrays import Floats, Integers
from lesionwise.evaluation.scores.bootstrap import RESAMPLES, fraction_estimate
from lesionwise.evaluation.scores.decision import accuracy_score, recall_per_class
from lesionwise.evaluation.scores.evaluate import Score, draw_scores
from lesionwise.evaluation.scores.ranking import binary_auc_score
from lesionwise.evaluation.scores.weights import Lesions, Probs, Truth, Weights
from lesionwise.labels import INDEX, MALIGNANT

PHOTOGRAPHS: Final = "photographs"
"""The column that needs no table: how many photographs there are of the lesion."""
COLUMNS: Final = ("sex", "age", "localization", "dx_type", "skin_tone", "collection")
TITLES: Final = {
    "localization": "site",
    "dx_type": "confirmed by",
    "skin_tone": "skin tone (estimate)",
    PHOTOGRAPHS: "photographs of the lesion:",
}
"""What a column is called in tables, where that is not its name."""
UNKNOWN: Final = "unknown"
_WHOSE: Final = {
    "sex": "of {} patients",
    "age": "of patients aged {}",
    "localization": "on the {}",
    "dx_type": "confirmed by {}",
    "skin_tone": "on skin that looks {}",
    "collection": "of the collection {}",
}
_WHOSE_UNKNOWN: Final = {
    "sex": "of patients of unknown sex",
    "age": "of patients of unknown age",
    "localization": "at an unknown site",
    "dx_type": "confirmed in an unknown way",
    "skin_tone": "on skin of unknown tone",
    "collection": "of an unknown collection",
}
_WORDS: Final = {
    "histo": "histology",
    "consensus": "expert consensus",
    "confocal": "confocal microscopy",
    "follow_up": "follow-up",
    "genital": "genital area",
    "acral": "acral skin",
}
AGE_BANDS: Final = {0: "under 30", 30: "30 to 44", 45: "45 to 59", 60: "60 to 74", 75: "75 and over"}
SKIN_TONES: Final = {-90: "dark", -30: "brown", 10: "tan", 28: "intermediate", 41: "light", 55: "very light"}
"""Least individual typology angle of each band, in degrees: Del Bino and Bernerd (2013),
https://doi.org/10.1111/bjd.12529"""
_BANDS: Final[Mapping[str, tuple[Mapping[int, str], float]]] = {
    "age": (AGE_BANDS, np.inf),
    "skin_tone": (SKIN_TONES, 90.001),
}
"""Columns of numbers, with the least number of each band and an upper limit of all."""
_MANY: Final = 3  # photographs of a lesion that are counted as many
LEAST_LESIONS: Final = 10  # below it an interval spans nearly everything
_MALIGNANT: Final = [INDEX[code] for code in MALIGNANT]
_MEL: Final = INDEX["mel"]


def malignant_auc_score(y_true: Truth, y_prob: Probs, weights: Weights | None = None) -> Floats:
    """Return the area under the ROC curve of (pre-)malignant against benign; NaN if either is missing."""
    positive = np.isin(np.asarray(y_true), _MALIGNANT)
    return binary_auc_score(positive, np.asarray(y_prob, float)[:, _MALIGNANT].sum(axis=1), weights)


def melanoma_recall_score(y_true: Truth, y_prob: Probs, weights: Weights | None = None) -> Floats:
    """Return the fraction of melanoma images that were called melanoma."""
    return np.asarray(recall_per_class(y_true, y_prob, weights)[..., _MEL])


SCORES: Final[Mapping[str, Score]] = {
    "accuracy": accuracy_score,
    "malignant_auc": malignant_auc_score,
    "melanoma_recall": melanoma_recall_score,
}


def bands_of(column: str, values: pd.Series) -> pd.Series:
    """Return the band of each age in years, or of each typology angle in degrees; "unknown" if missing.

    Args:
        column: "age" or "skin_tone".
    """
    names, most = _BANDS[column]
    numbers = pd.to_numeric(values, errors="coerce")
    bands = pd.cut(numbers, [*names, most], right=False, labels=list(names.values()))
    return bands.astype(object).where(bands.notna(), UNKNOWN).astype(str)


def evaluate_subgroups(
    y_true: Truth,
    y_prob: Probs,
    groups: Lesions,
    table: pd.DataFrame,
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> list[dict[str, Any]]:
    """Score each subgroup of each column of `COLUMNS` that the table has, and of `PHOTOGRAPHS`.

    Returns:
        A row per subgroup: `column`, `value`, `images`, `lesions`, `malignant` and `melanomas` (images), and
        each score of `SCORES` as value, low and high, or None where it rests on fewer than
        `LEAST_LESIONS` lesions.
    """
    truth, prob, lesions = np.asarray(y_true), np.asarray(y_prob, float), np.asarray(groups)
    rows = []
    for column in columns_of(table):
        values = subgroup_values(table, column, lesions)
        for value in ordered_values(column, values):
            inside = np.flatnonzero(values == value)
            row = _score(truth[inside], prob[inside], lesions[inside], resamples=resamples, seed=seed)
            rows.append({"column": column, "value": value, **row})
    return rows


def columns_of(table: pd.DataFrame) -> list[str]:
    """Return the columns that images are cut by."""
    return [*(name for name in COLUMNS if name in table), PHOTOGRAPHS]


def describe_subgroup(column: str, value: str) -> str:
    """Return which lesions a subgroup holds, as words that follow "lesions".

    Example:
        >>> describe_subgroup("dx_type", "histo"), describe_subgroup("age", "30 to 44")
        ('confirmed by histology', 'of patients aged 30 to 44')
    """
    if column == PHOTOGRAPHS:
        return f"with {value} photograph{'' if value == '1' else 's'}"
    if value == UNKNOWN:
        return _WHOSE_UNKNOWN[column]
    return _WHOSE[column].format(_WORDS.get(value, value).replace("_", " "))


def subgroup_values(table: pd.DataFrame, column: str, groups: NDArray[Any]) -> NDArray[np.object_]:
    """Return the subgroup of each image, shape (N,). `column`: one of `columns_of`."""
    if column == PHOTOGRAPHS:
        _, lesion, count = np.unique(groups, return_inverse=True, return_counts=True)
        words = np.array([str(number) for number in range(_MANY)] + [f"{_MANY} or more"], object)
        return np.asarray(words[np.minimum(count, _MANY)[lesion]], object)
    if column in _BANDS:
        return bands_of(column, table[column]).to_numpy(object)
    text = table[column].fillna("").astype(str).str.strip().str.lower()
    return text.replace("", "unknown").to_numpy(object)


def ordered_values(column: str, values: NDArray[np.object_]) -> list[str]:
    """Return the subgroups of a column from low to high, or by size if they have no order; unknown last."""
    names, counts = np.unique(values.astype(str), return_counts=True)
    size = dict(zip(names.tolist(), counts.tolist(), strict=True))
    scales = {name: list(bands.values()) for name, (bands, _) in _BANDS.items()} | {PHOTOGRAPHS: sorted(size)}
    rank = {name: index for index, name in enumerate(scales.get(column, []))}
    return sorted(size, key=lambda name: (name == UNKNOWN, rank.get(name, -size[name]), name))


def rests_on(truth: Integers, lesions: NDArray[Any]) -> dict[str, int]:
    """Return the number of lesions that each of `SCORES` rests on."""
    malignant = np.isin(truth, _MALIGNANT)
    return {
        "accuracy": len(np.unique(lesions)),
        "malignant_auc": min(len(np.unique(lesions[malignant])), len(np.unique(lesions[~malignant]))),
        "melanoma_recall": len(np.unique(lesions[truth == _MEL])),
    }


def _score(
    truth: Integers, prob: Floats, lesions: NDArray[Any], *, resamples: int, seed: int
) -> dict[str, Any]:
    found_on = rests_on(truth, lesions)
    wanted = {name: score for name, score in SCORES.items() if found_on[name] >= LEAST_LESIONS}
    drawn = draw_scores(wanted, truth, prob, lesions, resamples=resamples, seed=seed) if wanted else {}
    row: dict[str, Any] = {
        "images": len(truth),
        "lesions": found_on["accuracy"],
        "malignant": int(np.isin(truth, _MALIGNANT).sum()),
        "melanomas": int((truth == _MEL).sum()),
    }
    for name, score in SCORES.items():
        row[name] = None
        if name in wanted:
            value = float(score(truth, prob, None))
            row[name] = vars(fraction_estimate(value, drawn[name], found_on[name]))
    return row
