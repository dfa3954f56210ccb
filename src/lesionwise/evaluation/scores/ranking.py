"""Scores of the ranking: how well one class is told from all others, whatever the threshold.

Here: area under the ROC curve and average precision of each class against the rest. Not here: the curves
themselves (`curves`).
Letters: N samples, C classes, K distinct probabilities of the class's own samples, R resamples.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lesionwise.evaluation.scores.weights import Floats, check_arguments, ratio, sum_by


def auc_per_class(y_true: ArrayLike, y_prob: ArrayLike, weights: ArrayLike | None = None) -> Floats:
    """Return, for each class against the rest, the area under the ROC curve.

    It is the chance that a sample of the class has a higher probability of it than a sample of another
    class, ties counting half. It knows no threshold and no prevalence: a rare class can have 0.95 here and
    still be wrong in most of its alarms.

    Args:
        y_true: Class index of each sample, shape (N,).
        y_prob: Class probabilities, shape (N, C).
        weights: How often each sample counts, shape (R, N).

    Returns:
        Shape (C,) or (R, C), 0.5 is what chance gives; NaN where a class has no sample or all of them.

    References:
        Hanley and McNeil (1982), https://doi.org/10.1148/radiology.143.1.7063747
    """
    return _per_class(_auc, y_true, y_prob, weights)


def average_precision_per_class(
    y_true: ArrayLike, y_prob: ArrayLike, weights: ArrayLike | None = None
) -> Floats:
    """Return, for each class against the rest, the precision averaged over the steps of recall.

    Its chance level is the prevalence of the class, so that values of two classes, or of two data sets, do
    not compare.

    Args:
        y_true: Class index of each sample, shape (N,).
        y_prob: Class probabilities, shape (N, C).
        weights: How often each sample counts, shape (R, N).

    Returns:
        Shape (C,) or (R, C); NaN where a class has no sample.

    References:
        Davis and Goadrich (2006), https://doi.org/10.1145/1143844.1143874
    """
    return _per_class(_average_precision, y_true, y_prob, weights)


def macro_auc_score(y_true: ArrayLike, y_prob: ArrayLike, weights: ArrayLike | None = None) -> Floats:
    """Return the mean of the classes' areas under the ROC curve. Arguments as above."""
    return np.asarray(auc_per_class(y_true, y_prob, weights).mean(-1))


def macro_average_precision_score(
    y_true: ArrayLike, y_prob: ArrayLike, weights: ArrayLike | None = None
) -> Floats:
    """Return the mean of the classes' average precisions. Arguments as above."""
    return np.asarray(average_precision_per_class(y_true, y_prob, weights).mean(-1))


def binary_auc_score(positive: ArrayLike, score: ArrayLike, weights: ArrayLike | None = None) -> Floats:
    """Return the area under the ROC curve of one yes-or-no question.

    Args:
        positive: Whether the answer is yes, shape (N,).
        score: What rises with yes, shape (N,).
        weights: How often each sample counts, shape (R, N).

    Returns:
        A number, or shape (R,); NaN where all answers are the same.
    """
    return _auc(*_rank(np.asarray(positive, bool), np.asarray(score, float), weights))


def _per_class(
    score: Callable[..., Floats], y_true: ArrayLike, y_prob: ArrayLike, weights: ArrayLike | None
) -> Floats:
    truth, prob = check_arguments(y_true, y_prob)
    classes = range(prob.shape[1])
    return np.stack([score(*_rank(truth == c, prob[:, c], weights)) for c in classes], axis=-1)


def _rank(positive: NDArray[np.bool_], score: Floats, weights: ArrayLike | None) -> tuple[Floats, ...]:
    """Weigh, at each distinct score of a positive, the samples there and below.

    Everything is between two such scores or tied with one, which makes 2 K + 1 steps of the ladder that a
    single pass over the samples fills.

    Returns:
        Positives at the K scores; negatives tied with them; negatives below them; all negatives. Rising
        scores along the last axis; shapes (K,) or (R, K), and () or (R, 1) for the last.
    """
    ladder = np.unique(score[positive])
    yes, no = np.flatnonzero(positive), np.flatnonzero(~positive)
    step = np.searchsorted(ladder, score[no], "left") + np.searchsorted(ladder, score[no], "right")
    at = sum_by(np.searchsorted(ladder, score[yes]), len(ladder), weights, rows=yes)
    negatives = sum_by(step, 2 * len(ladder) + 1, weights, rows=no)
    below = np.cumsum(negatives, axis=-1)
    return at, negatives[..., 1::2], below[..., :-1:2], below[..., -1:]


def _auc(at: Floats, tied: Floats, below: Floats, negatives: Floats) -> Floats:
    won = (at * (below + tied / 2)).sum(-1)
    return ratio(won, at.sum(-1) * negatives[..., 0], undefined=np.nan)


def _average_precision(at: Floats, _tied: Floats, below: Floats, negatives: Floats) -> Floats:
    found = np.cumsum(at[..., ::-1], axis=-1)[..., ::-1]
    alarms = negatives - below  # a threshold at a score calls what is tied with it too
    precision = ratio(found, found + alarms)
    return ratio((at * precision).sum(-1), at.sum(-1), undefined=np.nan)
