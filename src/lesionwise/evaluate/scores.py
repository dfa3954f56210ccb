"""The scores: each a function of truth, probabilities and, for intervals, resampling weights.

Here: one function per score. Not here: intervals (`bootstrap`) and files (`evaluation`).

Every score takes `weights`, a row per resample that says how often each sample was drawn. Without them the
score of the sample itself is returned; with them one score per resample, computed at once.
Letters: N samples, C classes, R resamples.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


def confusion_matrix(y_true: ArrayLike, y_prob: ArrayLike, weights: ArrayLike | None = None) -> Floats:
    """Count how often each true class was called each class.

    Args:
        y_true: Class index of each sample, shape (N,), values in [0, C).
        y_prob: Class probabilities, shape (N, C); the greatest decides.
        weights: How often each sample counts, shape (R, N).

    Returns:
        Counts with true classes as rows, shape (C, C), or (R, C, C) with weights.

    Raises:
        ValueError: If the shapes do not fit or a class index is out of range.
    """
    truth, prob = _checked(y_true, y_prob)
    samples, classes = prob.shape
    cell = truth * classes + prob.argmax(axis=1)
    if weights is None:
        return np.bincount(cell, minlength=classes**2).reshape(classes, classes).astype(float)
    hits = np.zeros((samples, classes**2), dtype=np.float32)
    hits[np.arange(samples), cell] = 1
    return (np.asarray(weights, np.float32) @ hits).reshape(-1, classes, classes).astype(float)


def accuracy_score(y_true: ArrayLike, y_prob: ArrayLike, weights: ArrayLike | None = None) -> Floats:
    """Return the fraction of samples whose most probable class is right.

    It rewards a model for always answering the commonest class: "nv" alone reaches 0.669 on HAM10000.

    Args:
        y_true: Class index of each sample, shape (N,).
        y_prob: Class probabilities, shape (N, C).
        weights: How often each sample counts, shape (R, N).

    Returns:
        A number in [0, 1], or one per resample, shape (R,).
    """
    confusion = confusion_matrix(y_true, y_prob, weights)
    return np.asarray(_diagonal(confusion).sum(-1) / confusion.sum((-2, -1)))


def balanced_accuracy_score(y_true: ArrayLike, y_prob: ArrayLike, weights: ArrayLike | None = None) -> Floats:
    """Return the mean of the per-class recalls (the ranking score of ISIC 2018 Task 3).

    Accuracy rewards a model for always answering the commonest class; this score gives every diagnosis the
    same weight, however rare it is.

    Args:
        y_true: Class index of each sample, shape (N,), values in [0, C).
        y_prob: Class probabilities, shape (N, C).
        weights: How often each sample counts, shape (R, N).

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


def recall_per_class(y_true: ArrayLike, y_prob: ArrayLike, weights: ArrayLike | None = None) -> Floats:
    """Return, for each class, the fraction of its samples that were called so; also named sensitivity.

    Args:
        y_true: Class index of each sample, shape (N,).
        y_prob: Class probabilities, shape (N, C).
        weights: How often each sample counts, shape (R, N).

    Returns:
        Shape (C,) or (R, C); 0 for a class without samples.
    """
    confusion = confusion_matrix(y_true, y_prob, weights)
    return _ratio(_diagonal(confusion), confusion.sum(-1))


def precision_per_class(y_true: ArrayLike, y_prob: ArrayLike, weights: ArrayLike | None = None) -> Floats:
    """Return, for each class, the fraction of the samples called so that are.

    Args:
        y_true: Class index of each sample, shape (N,).
        y_prob: Class probabilities, shape (N, C).
        weights: How often each sample counts, shape (R, N).

    Returns:
        Shape (C,) or (R, C); 0 for a class that was never called.
    """
    confusion = confusion_matrix(y_true, y_prob, weights)
    return _ratio(_diagonal(confusion), confusion.sum(-2))


def f1_per_class(y_true: ArrayLike, y_prob: ArrayLike, weights: ArrayLike | None = None) -> Floats:
    """Return the harmonic mean of precision and recall for each class.

    Args:
        y_true: Class index of each sample, shape (N,).
        y_prob: Class probabilities, shape (N, C).
        weights: How often each sample counts, shape (R, N).

    Returns:
        Shape (C,) or (R, C); 0 for a class that is neither present nor called.
    """
    confusion = confusion_matrix(y_true, y_prob, weights)
    return _ratio(2 * _diagonal(confusion), confusion.sum(-1) + confusion.sum(-2))


def macro_recall_score(y_true: ArrayLike, y_prob: ArrayLike, weights: ArrayLike | None = None) -> Floats:
    """Return the mean recall over all classes; a class without samples counts 0. Arguments as above."""
    return np.asarray(recall_per_class(y_true, y_prob, weights).mean(-1))


def macro_precision_score(y_true: ArrayLike, y_prob: ArrayLike, weights: ArrayLike | None = None) -> Floats:
    """Return the mean precision over all classes; a class never called counts 0. Arguments as above."""
    return np.asarray(precision_per_class(y_true, y_prob, weights).mean(-1))


def macro_f1_score(y_true: ArrayLike, y_prob: ArrayLike, weights: ArrayLike | None = None) -> Floats:
    """Return the mean F1 over all classes (not the F1 of the means). Arguments as above."""
    return np.asarray(f1_per_class(y_true, y_prob, weights).mean(-1))


def _checked(y_true: ArrayLike, y_prob: ArrayLike) -> tuple[NDArray[np.int64], Floats]:
    truth, prob = np.asarray(y_true), np.asarray(y_prob, float)
    if prob.ndim != 2 or truth.shape != prob.shape[:1]:  # noqa: PLR2004 (samples and classes)
        raise ValueError(f"Expected y_true (N,) and y_prob (N, C) but got {truth.shape} and {prob.shape}.")
    if truth.size == 0:
        raise ValueError("Expected at least one sample but got none.")
    if truth.min() < 0 or truth.max() >= prob.shape[1]:
        raise ValueError(
            f"Expected class indices in [0, {prob.shape[1]}) but got {truth.min()} to {truth.max()}."
        )
    return truth.astype(np.int64), prob


def _diagonal(confusion: Floats) -> Floats:
    return np.diagonal(confusion, axis1=-2, axis2=-1)


def _ratio(numerator: Floats, denominator: Floats) -> Floats:
    return np.divide(numerator, denominator, out=np.zeros_like(denominator), where=denominator > 0)
