"""Scores of the ranking: how well one class is distinguished from all others, whatever the threshold.

Not here: the curves themselves (`curves`). Letters: K distinct probabilities of the class's own samples.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lesionwise.arrays import Booleans, Floats
from lesionwise.evaluation.scores.weights import Probs, Truth, Weights, check_arguments, ratio, sum_by


def auc_per_class(y_true: Truth, y_prob: Probs, weights: Weights | None = None) -> Floats:
    """Return, for each class against the rest, the area under the ROC curve.

    It is the chance that a sample of the class has a higher probability of it than a sample of another
    class, ties counting half. It depends on no threshold and no prevalence: a rare class can have 0.95 here
    although most of its alarms are false.

    Returns:
        Shape (C,) or (R, C), 0.5 is what chance gives; NaN where a class has no sample or all of them.

    References:
        Hanley and McNeil (1982), https://doi.org/10.1148/radiology.143.1.7063747
    """
    truth, prob = check_arguments(y_true, y_prob)
    classes = range(prob.shape[1])
    return np.stack([auc_of(*_rank(truth == c, prob[:, c], weights)) for c in classes], axis=-1)


def macro_auc_score(y_true: Truth, y_prob: Probs, weights: Weights | None = None) -> Floats:
    """Return the mean of the classes' areas under the ROC curve."""
    return np.asarray(auc_per_class(y_true, y_prob, weights).mean(-1))


def binary_auc_score(positive: ArrayLike, score: ArrayLike, weights: Weights | None = None) -> Floats:
    """Return the area under the ROC curve of a yes-or-no question; NaN where all answers are the same."""
    return auc_of(*_rank(np.asarray(positive, bool), np.asarray(score, float), weights))


def _rank(positive: Booleans, score: Floats, weights: Weights | None) -> tuple[Floats, ...]:
    """Weigh, at each distinct score of a positive, the samples there and below.

    Everything is between two such scores or tied with one, which makes 2 K + 1 steps of the ladder that a
    single pass over the samples fills.
    """
    cell, levels = ladder_cells(positive, score)
    return climb(sum_by(cell, 3 * levels + 1, weights))


def ladder_cells(positive: Booleans, score: Floats) -> tuple[NDArray[np.intp], int]:
    """Return the cell of each sample, positives in [0, K), negatives in the next 2 K + 1, and K."""
    ladder = np.unique(score[positive])
    left = np.searchsorted(ladder, score, "left")
    step = len(ladder) + left + np.searchsorted(ladder, score, "right")
    return np.where(positive, left, step), len(ladder)


def climb(counts: Floats) -> tuple[Floats, ...]:
    """Return what counts in the cells of a ladder say about each of its steps.

    Args:
        counts: Counts of the cells, shape (3 K + 1,) or (R, 3 K + 1).

    Returns:
        Positives at the K scores; negatives tied with them; negatives below them; all negatives. Rising
        scores along the last axis; shapes (K,) or (R, K), and (1,) or (R, 1) for the last.
    """
    levels = counts.shape[-1] // 3
    at, negatives = counts[..., :levels], counts[..., levels:]
    below = np.cumsum(negatives, axis=-1)
    return at, negatives[..., 1::2], below[..., :-1:2], below[..., -1:]


def auc_of(at: Floats, tied: Floats, below: Floats, negatives: Floats) -> Floats:
    """Return the area under the ROC curve; arguments as `climb` returns them."""
    won = (at * (below + tied / 2)).sum(-1)
    return ratio(won, at.sum(-1) * negatives[..., 0], undefined=np.nan)


def average_precision_of(at: Floats, _tied: Floats, below: Floats, negatives: Floats) -> Floats:
    """Return the precision averaged over the steps of recall; arguments as `climb` returns them.

    Its chance level is the prevalence of the class, so values of two classes, or of two data sets, cannot be
    compared. It is NaN where a class has no sample.

    References:
        Davis and Goadrich (2006), https://doi.org/10.1145/1143844.1143874
    """
    found = np.cumsum(at[..., ::-1], axis=-1)[..., ::-1]
    alarms = negatives - below  # a threshold at a score calls what is tied with it too
    precision = ratio(found, found + alarms)
    return ratio((at * precision).sum(-1), at.sum(-1), undefined=np.nan)
