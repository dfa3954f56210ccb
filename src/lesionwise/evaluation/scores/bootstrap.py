"""Intervals by resampling lesions, because photographs of one lesion are not independent.

Here: drawing resamples, the sums and means of whatever was measured in each image, and intervals, also those
that hold for several differences at once. Not here: the scores themselves. Letters: L lesions, or units of
many lesions; K cells, measures or differences.

Scores and curves are made of sums over images: a confusion matrix, counts at each threshold, bins. The
photographs of a lesion are drawn together, so they are first added up by lesion; one product with the counts
of the lesions then gives the sums of a whole block of resamples.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array
from scipy.special import expit, logit, stdtrit  # scipy.stats takes half a second to import

from lesionwise.arrays import Booleans, Float32s, Floats, Integers
from lesionwise.evaluation.scores.weights import Lesions, Truth

RESAMPLES: Final = 2_000
LEVEL: Final = 0.95
MANY: Final = 100_000
"""With more samples, lesions are joined to units, and scores ranked in steps, for the intervals."""
MOST_UNITS: Final = 500
_EXACT: Final = 1e-9  # sums of thirds miss 0 and 1 by rounding
_BLOCK_BYTES: Final = 4_000_000  # weights held at a time: what fits a processor's cache is added up fastest
_STEPS: Final = 512  # in which each of two kinds is ranked for the intervals of many images
_FEW: Final = 100  # cells; ladders have thousands, whose sums are added up in double precision later
_DENSE: Final = 0.1  # from this part of filled cells on a dense product is faster


@dataclass(frozen=True)
class Estimate:
    """A score and the 95 % interval around it."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self:.3f}"

    def __format__(self, form: str) -> str:
        """Return the three numbers in one form, such as "+.2f"; left out, with three decimals."""
        form = form or ".3f"
        return f"{self.value:{form}} ({self.low:{form}} to {self.high:{form}})"


def resample_weights(
    groups: Lesions, y_true: Truth, *, resamples: int = RESAMPLES, seed: int = 0
) -> Iterator[Float32s]:
    """Draw lesions with replacement within each diagnosis, and yield the weights of samples, (R, N).

    Resampling images would pretend that ten photographs of one melanoma are ten melanomas, and give
    intervals that are too narrow. Within diagnosis, no resample loses a rare class. Of k lesions k - 1 are
    drawn and count k / (k - 1): drawing k would make a class of ten lesions look surer than it is.

    Args:
        y_true: Class index of each sample, shape (N,); lesions with the same set of diagnoses are a stratum.

    References:
        Rao and Wu (1988), https://doi.org/10.1080/01621459.1988.10478591
    """
    _, lesion = np.unique(np.asarray(groups), return_inverse=True)
    block = block_size(len(lesion))
    for counts in resample_counts(lesion, np.asarray(y_true), resamples=resamples, seed=seed, block=block):
        yield counts[lesion].T


def block_size(samples: int) -> int:
    """Return how many resamples of so many samples are drawn at a time."""
    return max(1, _BLOCK_BYTES // (4 * samples))


def resample_counts(
    unit: NDArray[np.intp], y_true: Integers, *, resamples: int, seed: int, block: int
) -> Iterator[Float32s]:
    """Draw units as `resample_weights` draws lesions, and yield how much each unit counts, shape (L, R).

    Args:
        unit: Number of the unit of each sample, shape (N,), values in [0, L).
        block: Number of resamples to draw at a time; another size draws others.
    """
    strata = _strata(unit, y_true)
    units = sum(len(members) for members in strata)
    rng = np.random.default_rng(seed)
    for start in range(0, resamples, block):
        rows = min(block, resamples - start)
        counts = np.empty((units, rows), dtype=np.float32)
        for members in strata:
            counts[members] = _draw_counts(len(members), rows, rng)
        yield counts


def join_lesions(lesion: NDArray[np.intp], y_true: Integers) -> NDArray[np.intp]:
    """Return units of many lesions each, by chance and within diagnosis: at most `MOST_UNITS` of a kind.

    A resample of units has the spread of a resample of lesions; only the estimate of the spread is a little
    less sharp (by 3 % with 500 units). A million images then take no more work than a few thousand.
    """
    rng = np.random.default_rng(0)
    unit, start = np.empty(lesion.max() + 1, np.intp), 0
    for members in _strata(lesion, y_true):
        units = min(len(members), MOST_UNITS)
        unit[rng.permutation(members)] = start + np.arange(len(members)) % units
        start += units
    return unit[lesion]


def _strata(lesion: NDArray[np.intp], y_true: Integers) -> list[NDArray[np.intp]]:
    """Return the lesions of each set of diagnoses; nearly always a lesion has one."""
    diagnoses = np.zeros((lesion.max() + 1, y_true.max() + 1), dtype=bool)
    diagnoses[lesion, y_true] = True
    _, stratum = np.unique(diagnoses, axis=0, return_inverse=True)
    return [np.flatnonzero(stratum == value) for value in range(stratum.max() + 1)]


def _draw_counts(members: int, rows: int, rng: np.random.Generator) -> Float32s:
    """Return how much each member of a stratum counts in each resample, shape (members, rows)."""
    draws = max(1, members - 1)
    drawn = rng.integers(members, size=(draws, rows)) * rows + np.arange(rows)
    counts = np.bincount(drawn.ravel(), minlength=members * rows).reshape(members, rows)
    return counts.astype(np.float32) * np.float32(members / draws)


@dataclass(frozen=True)
class Cells:
    """Images that are added up by cell.

    Attributes:
        cell: Cell of each image, shape (N,), values in [0, K).
        values: What each image adds, shape (N,); 1 if None.
    """

    cell: NDArray[np.integer]
    cells: int
    values: Floats | None = None

    def by_unit(self, unit: NDArray[np.intp], units: int) -> "csr_array[Any] | NDArray[Any]":
        """Return the sums of each unit of images, shape (K, L): exact where a cell sums up many of them."""
        added = np.ones(len(self.cell)) if self.values is None else self.values
        if self.cells > _FEW:
            added = added.astype(np.float32)
        sums: csr_array[Any] = csr_array((added, (self.cell, unit)), shape=(self.cells, units))
        return sums.toarray() if sums.nnz > _DENSE * self.cells * units else sums


def draw_sums(
    cells: Mapping[str, Cells], groups: Lesions, truth: Integers, *, resamples: int, seed: int
) -> Iterator[dict[str, Floats]]:
    """Draw lesions as `resample_weights` does, and yield the sums of each resample.

    With more than `MANY` images, units of many lesions are drawn instead.

    Yields:
        Sums in blocks, each of shape (at most R, K).
    """
    _, lesion = np.unique(np.asarray(groups), return_inverse=True)
    many = len(truth) > MANY
    unit = join_lesions(lesion, truth) if many else lesion
    units = int(unit.max()) + 1
    block = block_size(units if many else len(truth))
    tables = {name: each.by_unit(unit, units) for name, each in cells.items()}
    for counts in resample_counts(unit, truth, resamples=resamples, seed=seed, block=block):
        yield {name: np.asarray((table @ counts).T, float) for name, table in tables.items()}


def ranked(score: Floats, positive: Booleans) -> Floats:
    """Return scores that order images for an interval: as they are, or in steps if there are many."""
    return in_steps(score, positive) if len(score) > MANY else score


def in_steps(score: Floats, positive: Booleans) -> Floats:
    """Return scores as numbers of steps, each with some 1 / `_STEPS` of either kind at most.

    Steps that hold equally many of all samples would put most of a rare class into one.
    """
    kinds = [np.sort(kind) for kind in (score[positive], score[~positive]) if len(kind)]
    chosen = [kind[np.linspace(0, len(kind) - 1, _STEPS + 1).astype(int)] for kind in kinds]
    return np.searchsorted(np.unique(np.concatenate(chosen)), score, "right").astype(float)


def percentile_interval(values: ArrayLike, level: float = LEVEL) -> tuple[Floats, Floats]:
    """Return the bounds that hold the middle `level` of resampled values, shape (R,) or (R, K).

    References:
        Efron and Tibshirani (1993), An Introduction to the Bootstrap, chapter 13.
    """
    low, high = np.quantile(np.asarray(values), [(1 - level) / 2, (1 + level) / 2], axis=0)
    return low, high


def fraction_estimate(value: float, drawn: ArrayLike, lesions: float, level: float = LEVEL) -> Estimate:
    """Return the estimate of a score between 0 and 1 that rests on few lesions.

    With only ten lesions, percentiles of resamples are too narrow. Here the resamples give only the spread;
    the interval is symmetric on the logit scale, so that it stays inside (0, 1), and its width follows
    Student's t. At exactly 0 or 1 the resamples do not vary, so the exact bounds of a fraction are taken:
    finding ten of ten melanomas does not prove that all will be found.

    Args:
        lesions: Number of lesions that it rests on, or that of `effective_lesions`; with one or none,
            nothing is known.

    References:
        Logit intervals of the area under the ROC curve: Qin and Hotilovac (2008),
        https://doi.org/10.1177/0962280207087173; exact bounds: Clopper and Pearson (1934),
        https://doi.org/10.1093/biomet/26.4.404
    """
    tail = (1 - level) / 2
    value = float(round(value)) if abs(value - round(value)) < _EXACT else value
    if lesions <= 1:
        return Estimate(value, 0.0, 1.0)
    if value in {0, 1}:
        reach = tail ** (1 / lesions)
        return Estimate(value, reach, 1.0) if value == 1 else Estimate(value, 0.0, 1 - reach)
    spread = float(np.std(np.asarray(drawn))) / (value * (1 - value))
    reach = -float(stdtrit(lesions - 1, tail)) * spread
    centre = float(logit(value))
    return Estimate(value, float(expit(centre - reach)), float(expit(centre + reach)))


def effective_lesions(drawn: ArrayLike, lesions: ArrayLike) -> float:
    """Return how many lesions a mean over classes rests on: few, if rare classes make it uncertain.

    References:
        Satterthwaite (1946), https://doi.org/10.2307/3002019
    """
    variance = np.asarray(drawn).var(axis=0)
    freedom = np.maximum(np.asarray(lesions, float) - 1, 1)
    total = float((variance**2 / freedom).sum())
    return 1 + float(variance.sum()) ** 2 / total if total else float(np.min(lesions))


def draw_means(values: ArrayLike, groups: Lesions, y_true: Truth, *, resamples: int = RESAMPLES) -> Floats:
    """Return the mean of each of K measures in each resample, within diagnosis, shape (R, K)."""
    measured = np.asarray(values, float)

    drawn = resample_weights(groups, y_true, resamples=resamples)
    return np.concatenate([weights @ measured / weights.sum(axis=1, keepdims=True) for weights in drawn])


def mean_estimates(
    values: ArrayLike, groups: Lesions, y_true: Truth, *, resamples: int = RESAMPLES
) -> list[Estimate]:
    """Return the mean of each measure with its interval, one for each of K."""
    drawn = draw_means(values, groups, y_true, resamples=resamples)
    means = np.asarray(values, float).mean(axis=0)
    return [spread_estimate(mean, column) for mean, column in zip(means.tolist(), drawn.T, strict=True)]


def spread_estimate(value: float, drawn: ArrayLike) -> Estimate:
    """Return a value with the interval that holds 95 % of its resamples, shape (R,)."""
    low, high = percentile_interval(drawn)
    return Estimate(float(value), float(low), float(high))


def simultaneous_estimates(values: ArrayLike, drawn: ArrayLike) -> list[Estimate]:
    """Return each difference with an interval, such that all intervals hold at once.

    Of forty differences two lie outside their own 95 % interval by chance alone. A sentence that names the
    largest gap must therefore rest on wider intervals, made so that in 95 of 100 cases *all* of them hold.
    Their width is the 95 % quantile of the largest standardised deviation over the resamples. It accounts for
    the correlation of the differences, so the intervals are narrower than Bonferroni's.

    References:
        Montiel Olea and Plagborg-Moller (2019), https://doi.org/10.1002/jae.2656 (sup-t bands)
        Westfall and Young (1993), Resampling-Based Multiple Testing, chapter 2
    """
    found, resampled = np.asarray(values, float), np.asarray(drawn, float)
    spread = resampled.std(axis=0)
    moved = np.abs(resampled - resampled.mean(axis=0))
    largest = np.divide(moved, spread, out=np.zeros_like(moved), where=spread > 0).max(axis=1)
    reach = float(np.quantile(largest, LEVEL)) * spread
    return [
        Estimate(value, value - by, value + by)
        for value, by in zip(found.tolist(), reach.tolist(), strict=True)
    ]
