"""What every score shares: its arguments, how they are checked, and how samples are counted under weights.

Here: the types `Truth`, `Probs`, `Lesions`, `Weights`, which say what the arguments of all scores are;
`check_arguments`, `sum_by`, `lesion_shares`. Not here: scores, and drawing the weights (`bootstrap`).
Letters: K cells.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lesionwise.arrays import Booleans, Floats, Integers

Truth = ArrayLike
"""`y_true`: class index of each sample, shape (N,), values in [0, C)."""
Probs = ArrayLike
"""`y_prob`: class probabilities of each sample, shape (N, C), each row summing to 1."""
Lesions = ArrayLike
"""`groups`: lesion of each sample, shape (N,). Lesions are what is resampled, never samples."""
Weights = ArrayLike
"""`weights`: number of times that each sample counts, shape (R, N), a row for each resample."""

SUM_TOLERANCE = 1e-3  # four written decimals stay within it


def check_arguments(y_true: Truth, y_prob: Probs) -> tuple[Integers, Floats]:
    """Return truth and probabilities, or other finite numbers that rise with them, as arrays that fit."""
    truth, prob = np.asarray(y_true), np.asarray(y_prob, float)
    if prob.ndim != 2 or truth.shape != prob.shape[:1]:  # noqa: PLR2004 (samples and classes)
        raise ValueError(f"Expected y_true (N,) and y_prob (N, C) but got {truth.shape} and {prob.shape}.")
    if truth.size == 0:
        raise ValueError("Expected at least one sample but got none.")
    if truth.min() < 0 or truth.max() >= prob.shape[1]:
        raise ValueError(
            f"Expected class indices in [0, {prob.shape[1]}) but got {truth.min()} to {truth.max()}."
        )
    if not np.isfinite(prob).all():
        raise ValueError(f"Expected finite numbers in y_prob but row {_first_bad(np.isfinite(prob))} is not.")
    return truth.astype(np.int64), prob


def check_probabilities(y_prob: Floats) -> None:
    """Make sure that each row is a distribution: no number is negative, and they sum to 1."""
    fine = (y_prob >= 0) & (np.abs(y_prob.sum(axis=1, keepdims=True) - 1) < SUM_TOLERANCE)
    if not fine.all():
        row = _first_bad(fine)
        raise ValueError(
            f"Expected probabilities that sum to 1 but row {row} sums to {y_prob[row].sum():.4g} "
            f"with a least value of {y_prob[row].min():.4g}."
        )


def sum_by(
    cell: NDArray[np.integer], cells: int, weights: Weights | None = None, *, values: Floats | None = None
) -> Floats:
    """Add up samples by cell, once or for every resample.

    Args:
        cell: Cell of each sample, shape (N,), values in [0, K).
        weights: Number of times that each sample counts, shape (R, N); once each if left out.
        values: What is added for each sample, shape (N,); 1 if left out.

    Returns:
        Sums, shape (K,), or (R, K) with weights.
    """
    if weights is None:
        return np.bincount(cell, weights=values, minlength=cells).astype(float)
    from scipy.sparse import csr_array  # noqa: PLC0415 (an extra; opening a model needs the types alone)

    by_sample = np.asarray(weights, np.float32).T
    added = np.ones(len(cell), np.float32) if values is None else values.astype(np.float32)
    adding = csr_array((added, (cell, np.arange(len(cell)))), shape=(cells, len(by_sample)))
    return np.asarray((adding @ by_sample).T, float)


def lesion_shares(groups: Lesions) -> Floats:
    """Return what each photograph counts so that each lesion counts once, shape (N,)."""
    _, lesion, photographs = np.unique(np.asarray(groups), return_inverse=True, return_counts=True)
    return np.asarray(1 / photographs[lesion])


def ratio(numerator: Floats, denominator: Floats, *, undefined: float = 0.0) -> Floats:
    """Divide, with a stated result where the denominator is zero."""
    filled = np.full(np.broadcast(numerator, denominator).shape, undefined)
    return np.asarray(np.divide(numerator, denominator, out=filled, where=denominator > 0))


def _first_bad(fine: Booleans) -> int:
    return int(np.flatnonzero(~fine.all(axis=1))[0])
