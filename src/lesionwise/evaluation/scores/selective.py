"""Answering only when sure: the error among the answers that are given, for each part of images answered.

Not here: choosing where to stop answering. Letters: K distinct confidences, G points of a grid.
"""

from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lesionwise.evaluation.scores.bootstrap import percentile_interval
from lesionwise.evaluation.scores.cells import Cells, draw_sums, ranked
from lesionwise.evaluation.scores.curves import BAND_RESAMPLES
from lesionwise.evaluation.scores.weights import (
    Floats,
    Lesions,
    Probs,
    Truth,
    Weights,
    check_arguments,
    ratio,
    sum_by,
)

_GRID: Final = np.linspace(0.05, 1, 96)  # below a twentieth a handful of images would speak


def aurc_loss(y_true: Truth, y_prob: Probs, weights: Weights | None = None) -> Floats:
    """Return the area under the risk-coverage curve.

    For each image, the error among those that are at least as sure; of these errors the mean.

    Args:
        y_prob: Class probabilities, shape (N, C); the greatest of a row is its confidence.

    Returns:
        A number in [0, 1], or shape (R,); a model whose confidence says nothing has its error rate.

    References:
        El-Yaniv, Wiener (2010), https://jmlr.org/papers/v11/el-yaniv10a.html; Geifman, Uziel, El-Yaniv
        (2019), https://arxiv.org/abs/1805.08206
    """
    truth, prob = check_arguments(y_true, y_prob)
    levels, rank = confidence_ranks(prob)
    wrong = (prob.argmax(axis=1) != truth).astype(float)
    return aurc_of(sum_by(rank, levels, weights), sum_by(rank, levels, weights, values=wrong))


def confidence_ranks(y_prob: Floats) -> tuple[int, NDArray[np.intp]]:
    """Return the number K of distinct confidences and the place of each sample among them, surest first."""
    levels, rank = np.unique(-y_prob.max(axis=1), return_inverse=True)
    return len(levels), rank


def aurc_of(counts: Floats, wrong: Floats) -> Floats:
    """Return the area under the risk-coverage curve from (wrong) samples at each confidence, surest first."""
    answered = np.cumsum(counts, axis=-1)
    risk = ratio(np.cumsum(wrong, axis=-1), answered)
    return np.asarray((counts * risk).sum(-1) / answered[..., -1])


def risk_coverage_table(
    y_true: Truth, y_prob: Probs, groups: Lesions, *, resamples: int = BAND_RESAMPLES, seed: int = 0
) -> pd.DataFrame:
    """Return the `error` among the surest images, for each part of all, `answered`, from 0.05 to 1."""
    truth, prob = check_arguments(y_true, y_prob)
    mistaken = prob.argmax(axis=1) != truth
    wrong = mistaken.astype(float)
    levels, rank = confidence_ranks(prob)
    (error,) = _on_grid(sum_by(rank, levels)[None], sum_by(rank, levels, values=wrong)[None])
    levels, rank = confidence_ranks(ranked(prob.max(axis=1), mistaken)[:, None])
    cells = {"all": Cells(rank, levels), "wrong": Cells(rank, levels, wrong)}
    drawn = [
        _on_grid(sums["all"], sums["wrong"])
        for sums in draw_sums(cells, groups, truth, resamples=resamples, seed=seed)
    ]
    low, high = percentile_interval(np.concatenate(drawn))
    return pd.DataFrame({"answered": _GRID, "error": error, "low": low, "high": high})


def _on_grid(counts: Floats, wrong: Floats) -> Floats:
    """Return the error when at least each part of the grid is answered, shape (R, G).

    Args:
        counts: Samples at each confidence, surest first, shape (R, K).
        wrong: Wrong ones among them, shape (R, K).
    """
    answered = np.cumsum(counts, axis=1)
    risk = ratio(np.cumsum(wrong, axis=1), answered)
    parts = answered / answered[:, -1:]
    found = [
        row[np.minimum(np.searchsorted(part, _GRID - 1e-6), len(row) - 1)]
        for part, row in zip(parts, risk, strict=True)
    ]
    return np.stack(found)
