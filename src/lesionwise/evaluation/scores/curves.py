"""Curves as tables: ROC, precision and recall, reliability, each with a 95 % band by lesion.

Here: the numbers. Not here: areas under them (`ranking`) and drawing (`lesionwise.report`). Letters: K
thresholds, G points of a grid.

The bands are pointwise: each point's true value lies in it 95 times of 100, the whole curve less often.
"""

from collections.abc import Callable
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lesionwise.evaluation.scores.bootstrap import percentile_interval
from lesionwise.evaluation.scores.cells import Cells, draw_sums, ranked
from lesionwise.evaluation.scores.probability import BINS, confidence_bins
from lesionwise.evaluation.scores.weights import (
    Floats,
    Integers,
    Lesions,
    Probs,
    Truth,
    check_arguments,
    ratio,
    sum_by,
)
from lesionwise.labels import CODES

BAND_RESAMPLES: Final = 500  # a band is looked at, not quoted
_GRID: Final = np.linspace(0, 1, 101)
_ROUNDING: Final = 1e-6  # of sums of single-precision weights

Curve = Callable[[Floats, Floats], Floats]


def roc_table(
    y_true: Truth, y_prob: Probs, groups: Lesions, *, resamples: int = BAND_RESAMPLES
) -> pd.DataFrame:
    """Return sensitivity at each false positive rate, for each class against the rest.

    Returns:
        Columns `diagnosis`, `false_positive_rate` (0 to 1 in steps of 0.01), `sensitivity`, `low`, `high`.
    """
    axes, sample = ("false_positive_rate", "sensitivity"), check_arguments(y_true, y_prob)
    return _table(_sensitivity, axes, sample, groups, resamples=resamples)


def precision_recall_table(
    y_true: Truth, y_prob: Probs, groups: Lesions, *, resamples: int = BAND_RESAMPLES
) -> pd.DataFrame:
    """Return precision at each recall, for each class against the rest.

    It is that of the highest threshold that reaches the recall; points between are not joined by lines,
    which would be too kind (Davis and Goadrich 2006).

    Returns:
        Columns `diagnosis`, `recall` (0 to 1 in steps of 0.01), `precision`, `low`, `high`.
    """
    axes, sample = ("recall", "precision"), check_arguments(y_true, y_prob)
    return _table(_precision, axes, sample, groups, resamples=resamples)


def reliability_table(
    y_true: Truth,
    y_prob: Probs,
    groups: Lesions,
    *,
    bins: int = BINS,
    resamples: int = BAND_RESAMPLES,
    seed: int = 0,
) -> pd.DataFrame:
    """Return the accuracy at each level of confidence, in bins of equally many samples without empty ones.

    Returns:
        A row per bin: `images`, `confidence` (mean), `accuracy`, `low`, `high`.
    """
    truth, prob = check_arguments(y_true, y_prob)
    confidence, bin_ = confidence_bins(prob, bins)
    right = (prob.argmax(axis=1) == truth).astype(float)

    cells = {"images": Cells(bin_, bins), "right": Cells(bin_, bins, right)}
    drawn = np.concatenate(
        [
            ratio(sums["right"], sums["images"], undefined=np.nan)
            for sums in draw_sums(cells, groups, truth, resamples=resamples, seed=seed)
        ]
    )
    images = sum_by(bin_, bins)
    kept = np.flatnonzero(images)
    low, high = np.nanquantile(drawn[:, kept], [0.025, 0.975], axis=0)
    return pd.DataFrame(
        {
            "images": images[kept].astype(int),
            "confidence": sum_by(bin_, bins, values=confidence)[kept] / images[kept],
            "accuracy": sum_by(bin_, bins, values=right)[kept] / images[kept],
            "low": low,
            "high": high,
        }
    )


def _table(
    curve: Curve, axes: tuple[str, str], sample: tuple[Integers, Floats], groups: Lesions, *, resamples: int
) -> pd.DataFrame:
    truth, prob = sample
    drawable = [index for index in range(prob.shape[1]) if 0 < np.count_nonzero(truth == index) < len(truth)]
    drawn: dict[int, list[Floats]] = {index: [] for index in drawable}
    cells = {
        str(index): _ladder(truth == index, ranked(prob[:, index], truth == index)) for index in drawable
    }
    for sums in draw_sums(cells, groups, truth, resamples=resamples, seed=0):
        for index in drawable:
            drawn[index].append(curve(*_counts(sums[str(index)])))
    tables = [pd.DataFrame(columns=["diagnosis", *axes, "low", "high"])] if not drawable else []
    for index in drawable:
        ladder = _ladder(truth == index, prob[:, index])
        (value,) = curve(*_counts(sum_by(ladder.cell, ladder.cells)[None]))
        low, high = percentile_interval(np.concatenate(drawn[index]))
        columns = {"diagnosis": CODES[index], axes[0]: _GRID, axes[1]: value, "low": low, "high": high}
        tables.append(pd.DataFrame(columns))
    return pd.concat(tables, ignore_index=True)


def _ladder(positive: NDArray[np.bool_], score: Floats) -> Cells:
    """Return two cells for each threshold, falling: what is called wrong there, and what is called right."""
    steps, rank = np.unique(-score, return_inverse=True)
    return Cells(2 * rank + positive, 2 * len(steps))


def _counts(sums: Floats) -> tuple[Floats, Floats]:
    """Return what is called right and wrong from each threshold on, falling, shape (R, K)."""
    called = np.cumsum(sums.reshape(len(sums), -1, 2), axis=1)
    return called[..., 1], called[..., 0]


def _sensitivity(right: Floats, wrong: Floats) -> Floats:
    y = np.pad(right / right[:, -1:], ((0, 0), (1, 0)))
    x = np.pad(wrong / wrong[:, -1:], ((0, 0), (1, 0)))
    return np.stack([np.interp(_GRID, *row) for row in zip(x, y, strict=True)])


def _precision(right: Floats, wrong: Floats) -> Floats:
    recall, precision = right / right[:, -1:], ratio(right, right + wrong)
    reached = np.stack([np.searchsorted(row, _GRID - _ROUNDING) for row in recall])
    first = np.maximum(reached, np.argmax(right > 0, axis=1)[:, None])  # recall 0: the first true alarm
    return np.take_along_axis(precision, np.minimum(first, recall.shape[1] - 1), axis=1)
