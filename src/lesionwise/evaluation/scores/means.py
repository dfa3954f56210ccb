"""Means of whatever was measured in each image, with intervals that resample lesions.

Here: the mean alone. Not here: what is measured, and scores (`evaluate`). Letters: N images, K measures, R
resamples.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lesionwise.evaluation.scores.bootstrap import RESAMPLES, Estimate, percentile_interval, resample_weights

Floats = NDArray[np.float64]


def draw_means(
    values: ArrayLike, groups: ArrayLike, y_true: ArrayLike, *, resamples: int = RESAMPLES, seed: int = 0
) -> Floats:
    """Return the mean of each measure in each resample, shape (R, K).

    Args:
        values: Of each image, shape (N, K).
        groups: Lesion of each image, shape (N,).
        y_true: Class index of each image, shape (N,); lesions are drawn within diagnosis.
        resamples: How many to draw.
        seed: Of the draw; the same seed draws the same lesions.
    """
    measured = np.asarray(values, float)
    drawn = resample_weights(groups, y_true, resamples=resamples, seed=seed)
    return np.concatenate([weights @ measured / weights.sum(axis=1, keepdims=True) for weights in drawn])


def mean_estimates(
    values: ArrayLike, groups: ArrayLike, y_true: ArrayLike, *, resamples: int = RESAMPLES, seed: int = 0
) -> list[Estimate]:
    """Return the mean of each measure with its interval, one for each of K. Arguments as above."""
    drawn = draw_means(values, groups, y_true, resamples=resamples, seed=seed)
    means = np.asarray(values, float).mean(axis=0)
    return [spread_estimate(mean, column) for mean, column in zip(means.tolist(), drawn.T, strict=True)]


def spread_estimate(value: float, drawn: ArrayLike) -> Estimate:
    """Return a value with the interval that holds 95 % of its resamples, shape (R,)."""
    low, high = percentile_interval(drawn)
    return Estimate(float(value), float(low), float(high))
