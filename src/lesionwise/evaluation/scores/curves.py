"""Curves as tables: ROC, precision and recall, reliability, risk and coverage.

Here: the numbers, with a 95 % band by lesion, and the area under the risk-coverage curve. Not here: the other
areas (`ranking`) and drawing (`lesionwise.report`). Letters: K thresholds or confidences, G points of a grid.

The bands are pointwise: each point's true value lies in it 95 times of 100, the whole curve less often.
"""

from collections.abc import Callable, Mapping
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lesionwise.arrays import Booleans, Floats, Integers
from lesionwise.evaluation.scores.bootstrap import LEVEL, Cells, draw_sums, ranked
from lesionwise.evaluation.scores.probability import BINS, confidence_bins
from lesionwise.evaluation.scores.weights import Lesions, Probs, Truth, check_arguments, ratio, sum_by
from lesionwise.labels import CODES

BAND_RESAMPLES: Final = 500  # a band is looked at, not quoted
_GRID: Final = np.linspace(0, 1, 101)
_ANSWERED: Final = np.linspace(0.05, 1, 96)  # below a twentieth, a handful of images decides
_ROUNDING: Final = 1e-6  # of sums of single-precision weights

Curve = Callable[[Floats], Floats]
"""From how many images count against and for each of K steps, shape (R, K, 2), to a curve, shape (R, G)."""


def step_cells(step: NDArray[np.integer], right: Booleans) -> Cells:
    """Return two cells for each step that images are on: one for the wrong, one for the right."""
    return Cells(2 * step + right, 2 * (int(step.max()) + 1))


def exact_curve(curve: Curve, cells: Cells) -> Floats:
    """Return the curve of the images themselves, shape (G,)."""
    (found,) = curve(sum_by(cells.cell, cells.cells).reshape(1, -1, 2))
    return np.asarray(found)


def draw_bands(
    curve: Curve, cells: Mapping[str, Cells], groups: Lesions, truth: Integers, *, resamples: int
) -> dict[str, dict[str, Floats]]:
    """Return the bounds `low` and `high`, shape (G,), of the curve of each set of cells, by its name.

    All are drawn from the same resampled lesions; where a resample has no value, it is NaN and left out.
    """
    drawn: dict[str, list[Floats]] = {name: [] for name in cells}
    for sums in draw_sums(cells, groups, truth, resamples=resamples, seed=0):
        for name, own in sums.items():
            drawn[name].append(curve(own.reshape(len(own), -1, 2)))
    parts = [(1 - LEVEL) / 2, (1 + LEVEL) / 2]
    bounds = {name: np.nanquantile(np.concatenate(found), parts, axis=0) for name, found in drawn.items()}
    return {name: {"low": low, "high": high} for name, (low, high) in bounds.items()}


def roc_table(
    y_true: Truth, y_prob: Probs, groups: Lesions, *, resamples: int = BAND_RESAMPLES
) -> pd.DataFrame:
    """Return sensitivity at each false positive rate, for each class against the rest.

    Returns:
        Columns `diagnosis`, `false_positive_rate` (0 to 1 in steps of 0.01), `sensitivity`, `low`, `high`.
    """
    axes = ("false_positive_rate", "sensitivity")
    return _one_against_rest(_sensitivity, axes, (y_true, y_prob), groups, resamples)


def precision_recall_table(
    y_true: Truth, y_prob: Probs, groups: Lesions, *, resamples: int = BAND_RESAMPLES
) -> pd.DataFrame:
    """Return precision at each recall, for each class against the rest.

    It is that of the highest threshold that reaches the recall. Points are not joined by lines, which would
    be too optimistic (Davis and Goadrich 2006).

    Returns:
        Columns `diagnosis`, `recall` (0 to 1 in steps of 0.01), `precision`, `low`, `high`.
    """
    return _one_against_rest(_precision, ("recall", "precision"), (y_true, y_prob), groups, resamples)


def reliability_table(
    y_true: Truth, y_prob: Probs, groups: Lesions, *, bins: int = BINS, resamples: int = BAND_RESAMPLES
) -> pd.DataFrame:
    """Return the accuracy at each level of confidence, in bins of equally many samples without empty ones.

    Returns:
        A row per bin: `images`, `confidence` (mean), `accuracy`, `low`, `high`.
    """
    truth, prob = check_arguments(y_true, y_prob)
    confidence, bin_ = confidence_bins(prob, bins)
    _, bin_ = np.unique(bin_, return_inverse=True)  # without empty ones
    cells = step_cells(bin_, prob.argmax(axis=1) == truth)
    bands = draw_bands(_accuracy, {"": cells}, groups, truth, resamples=resamples)
    images = np.bincount(bin_)
    columns = {
        "images": images,
        "confidence": np.bincount(bin_, weights=confidence) / images,
        "accuracy": exact_curve(_accuracy, cells),
    }
    return pd.DataFrame({**columns, **bands[""]})


def risk_coverage_table(
    y_true: Truth, y_prob: Probs, groups: Lesions, *, resamples: int = BAND_RESAMPLES
) -> pd.DataFrame:
    """Return the `error` among the surest images, for each part of all, `answered`, from 0.05 to 1."""
    truth, prob = check_arguments(y_true, y_prob)
    sure, right = prob.max(axis=1), prob.argmax(axis=1) == truth
    drawn = {"": _falling(ranked(sure, ~right), right)}
    bands = draw_bands(_error, drawn, groups, truth, resamples=resamples)
    error = exact_curve(_error, _falling(sure, right))
    return pd.DataFrame({"answered": _ANSWERED, "error": error, **bands[""]})


def confidence_ranks(confidence: Floats) -> tuple[int, NDArray[np.intp]]:
    """Return the number K of distinct confidences and the place of each sample among them, surest first."""
    levels, rank = np.unique(-confidence, return_inverse=True)
    return len(levels), rank


def aurc_of(counts: Floats, wrong: Floats) -> Floats:
    """Return the area under the risk-coverage curve, from samples and wrong samples at each confidence.

    It is the mean over samples of the error among those samples that are at least as sure.

    Args:
        counts: Samples at each confidence, surest first, shape (K,) or (R, K).

    Returns:
        A number in [0, 1], or shape (R,); a model whose confidence says nothing gets its error rate.

    References:
        El-Yaniv, Wiener (2010), https://jmlr.org/papers/v11/el-yaniv10a.html; Geifman, Uziel, El-Yaniv
        (2019), https://arxiv.org/abs/1805.08206
    """
    answered = np.cumsum(counts, axis=-1)
    risk = ratio(np.cumsum(wrong, axis=-1), answered)
    return np.asarray((counts * risk).sum(-1) / answered[..., -1])


def _one_against_rest(
    curve: Curve, axes: tuple[str, str], sample: tuple[Truth, Probs], groups: Lesions, resamples: int
) -> pd.DataFrame:
    """Return the curve of each class that has samples and is not alone."""
    truth, prob = check_arguments(*sample)
    classes = [index for index in range(prob.shape[1]) if 0 < np.count_nonzero(truth == index) < len(truth)]
    own = {CODES[index]: (prob[:, index], truth == index) for index in classes}
    drawn = {code: _falling(ranked(score, positive), positive) for code, (score, positive) in own.items()}
    bands = draw_bands(curve, drawn, groups, truth, resamples=resamples)
    tables = [pd.DataFrame(columns=["diagnosis", *axes, "low", "high"])] if not own else []
    for code, ladder in own.items():
        columns = {"diagnosis": code, axes[0]: _GRID, axes[1]: exact_curve(curve, _falling(*ladder))}
        tables.append(pd.DataFrame({**columns, **bands[code]}))
    return pd.concat(tables, ignore_index=True)


def _falling(score: Floats, right: Booleans) -> Cells:
    """Return the cells of falling thresholds, one for each distinct score."""
    return step_cells(np.unique(-score, return_inverse=True)[1], right)


def _sensitivity(counts: Floats) -> Floats:
    called = np.cumsum(counts, axis=1)
    x, y = np.moveaxis(np.pad(called / called[:, -1:], ((0, 0), (1, 0), (0, 0))), 2, 0)
    return np.stack([np.interp(_GRID, *row) for row in zip(x, y, strict=True)])


def _precision(counts: Floats) -> Floats:
    wrong, right = np.moveaxis(np.cumsum(counts, axis=1), 2, 0)
    recall, precision = right / right[:, -1:], ratio(right, right + wrong)
    reached = np.stack([np.searchsorted(row, _GRID - _ROUNDING) for row in recall])
    first = np.maximum(reached, np.argmax(right > 0, axis=1)[:, None])  # recall 0: the first true alarm
    return np.take_along_axis(precision, np.minimum(first, recall.shape[1] - 1), axis=1)


def _accuracy(counts: Floats) -> Floats:
    return ratio(counts[..., 1], counts.sum(axis=2), undefined=np.nan)


def _error(counts: Floats) -> Floats:
    """Return the error when at least each part of the grid is answered."""
    wrong, right = np.moveaxis(np.cumsum(counts, axis=1), 2, 0)
    answered = wrong + right
    reached = np.stack([np.searchsorted(row, _ANSWERED - _ROUNDING) for row in answered / answered[:, -1:]])
    return np.take_along_axis(ratio(wrong, answered), np.minimum(reached, answered.shape[1] - 1), axis=1)
