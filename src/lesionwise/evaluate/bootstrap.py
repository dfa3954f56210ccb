"""Intervals by resampling lesions, because photographs of one lesion are not independent.

Here: drawing resamples and reading an interval off them. Not here: the scores themselves.
Letters: N samples, L lesions, R resamples.
"""

from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

RESAMPLES: Final = 2_000
LEVEL: Final = 0.95
_BLOCK_BYTES: Final = 64_000_000  # weights held at a time


def resample_weights(
    groups: ArrayLike, y_true: ArrayLike, *, resamples: int = RESAMPLES, seed: int = 0
) -> Iterator[NDArray[np.float32]]:
    """Draw lesions with replacement within each diagnosis, and yield how often each sample was drawn.

    Resampling images would pretend that ten photographs of one melanoma are ten melanomas, and give
    intervals that are too narrow. Within diagnosis, no resample loses a rare class.

    Args:
        groups: Lesion group of each sample, shape (N,).
        y_true: Class index of each sample, shape (N,); a lesion belongs to that of its first sample.
        resamples: How many to draw.
        seed: Of the draw.

    Yields:
        Weights in blocks, shape (at most R, N).
    """
    _, first, lesion = np.unique(np.asarray(groups), return_index=True, return_inverse=True)
    stratum = np.asarray(y_true)[first]
    strata = [np.flatnonzero(stratum == value) for value in np.unique(stratum)]
    rng = np.random.default_rng(seed)
    block = max(1, _BLOCK_BYTES // (4 * len(lesion)))
    for start in range(0, resamples, block):
        rows = min(block, resamples - start)
        counts = np.empty((rows, len(first)), dtype=np.float32)
        for members in strata:
            counts[:, members] = _draw_counts(len(members), rows, rng)
        yield counts[:, lesion]


def percentile_interval(
    values: ArrayLike, level: float = LEVEL
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the bounds that hold the middle `level` of resampled values.

    Args:
        values: One value or row of values per resample, shape (R,) or (R, K).
        level: Part of the resamples inside.

    Returns:
        Lower and upper bound, each a number or shape (K,).

    References:
        Efron and Tibshirani (1993), An Introduction to the Bootstrap, chapter 13.
    """
    low, high = np.quantile(np.asarray(values), [(1 - level) / 2, (1 + level) / 2], axis=0)
    return low, high


def _draw_counts(members: int, rows: int, rng: np.random.Generator) -> NDArray[np.int64]:
    drawn = rng.integers(members, size=(rows, members)) + members * np.arange(rows)[:, None]
    return np.bincount(drawn.ravel(), minlength=rows * members).reshape(rows, members)
