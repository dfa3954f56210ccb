"""Scores of the decision: each looks at the most probable class alone.

Here: what confusion matrices show, and scores of predictions that are read off theirs. Not here: scores of
the ranking (`ranking`) and of the probabilities (`probability`), and intervals (`bootstrap`).

A score of predictions takes `weights`, a row per resample that says how often each sample was drawn. Without
them the score of the sample itself is returned; with them one score per resample, computed at once.
"""

from collections.abc import Callable

import numpy as np

from lesionwise.arrays import Floats
from lesionwise.evaluation.scores.weights import Probs, Truth, Weights, check_arguments, ratio, sum_by


def confusion_matrix(y_true: Truth, y_prob: Probs, weights: Weights | None = None) -> Floats:
    """Count how often each true class (row) was called each class, shape (C, C), or (R, C, C)."""
    truth, prob = check_arguments(y_true, y_prob)
    classes = prob.shape[1]
    counts = sum_by(truth * classes + prob.argmax(axis=1), classes**2, weights)
    return counts.reshape(*counts.shape[:-1], classes, classes)


def accuracy_score(y_true: Truth, y_prob: Probs, weights: Weights | None = None) -> Floats:
    """Return the fraction of samples whose most probable class is right.

    It rewards a model for always answering the commonest class: "nv" alone reaches 0.669 on HAM10000.
    """
    return accuracy_of(confusion_matrix(y_true, y_prob, weights))


def balanced_accuracy_score(y_true: Truth, y_prob: Probs, weights: Weights | None = None) -> Floats:
    """Return the mean of the per-class recalls (the ranking score of ISIC 2018 Task 3).

    Accuracy rewards a model for always answering the commonest class; this score gives every diagnosis the
    same weight, however rare it is.

    Returns:
        A number in [0, 1], or one per resample, shape (R,); 1 / C is what chance gives.

    Raises:
        ValueError: If a class has no sample, because its recall is then undefined.

    References:
        Brodersen et al. (2010), https://doi.org/10.1109/ICPR.2010.764
    """
    confusion = confusion_matrix(y_true, y_prob, weights)
    if (confusion.sum(-1) == 0).any():
        raise ValueError(
            "Expected every class to have a sample but at least one has none: its recall is undefined."
        )
    return np.asarray((_diagonal(confusion) / confusion.sum(-1)).mean(-1))


def recall_per_class(y_true: Truth, y_prob: Probs, weights: Weights | None = None) -> Floats:
    """Return the fraction of each class that was called so, (C,) or (R, C); 0 for a class without samples."""
    return recall_of(confusion_matrix(y_true, y_prob, weights))


def macro_recall_score(y_true: Truth, y_prob: Probs, weights: Weights | None = None) -> Floats:
    """Return the mean recall over all classes; a class without samples counts 0."""
    return np.asarray(recall_per_class(y_true, y_prob, weights).mean(-1))


def accuracy_of(confusion: Floats) -> Floats:
    """Return the accuracy that confusion matrices of shape (..., C, C) show."""
    return np.asarray(_diagonal(confusion).sum(-1) / confusion.sum((-2, -1)))


def recall_of(confusion: Floats) -> Floats:
    """Return the recalls that confusion matrices of shape (..., C, C) show; 0 for a class without samples."""
    return ratio(_diagonal(confusion), confusion.sum(-1))


def precision_of(confusion: Floats) -> Floats:
    """Return the precisions that confusion matrices (..., C, C) show; 0 for a class that was never called."""
    return ratio(_diagonal(confusion), confusion.sum(-2))


def f1_of(confusion: Floats) -> Floats:
    """Return the F1 scores that confusion matrices (..., C, C) show; 0 for a class without any."""
    return ratio(2 * _diagonal(confusion), confusion.sum(-1) + confusion.sum(-2))


def specificity_of(confusion: Floats) -> Floats:
    """Return the specificities that confusion matrices (..., C, C) show; 0 if all samples are of the class.

    With a rare class it is close to 1 for any model: 115 of 10,015 images are dermatofibromas, and a model
    that never answers so has specificity 1.
    """
    others = confusion.sum((-2, -1))[..., None] - confusion.sum(-1)
    false_alarms = confusion.sum(-2) - _diagonal(confusion)
    return ratio(others - false_alarms, others)


def weighted_of(per_class: Callable[[Floats], Floats], confusion: Floats) -> Floats:
    """Return a score of confusion matrices of shape (..., C, C), averaged by class size."""
    support = confusion.sum(-1)
    return np.asarray((per_class(confusion) * support).sum(-1) / support.sum(-1))


def _diagonal(confusion: Floats) -> Floats:
    return np.diagonal(confusion, axis1=-2, axis2=-1)
