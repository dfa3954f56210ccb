"""Several differences looked at together: which of them are larger than chance.

Here: intervals that hold for all of them at once. Not here: what is compared (`subgroups`, `robustness`).

Of forty differences two lie outside their own 95 % interval by chance alone. A sentence that names the
largest gap must therefore rest on wider intervals, made so that in 95 of 100 cases *all* of them hold. Their
width is the 95 % quantile of the largest standardised deviation over the resamples, which knows how the
differences hang together and so costs less than dividing the error by their number (Bonferroni).

Letters: K differences, R resamples.

References:
    Montiel Olea and Plagborg-Moller (2019), https://doi.org/10.1002/jae.2656 (sup-t bands)
    Westfall and Young (1993), Resampling-Based Multiple Testing, chapter 2
"""

import numpy as np
from numpy.typing import ArrayLike

from lesionwise.evaluation.scores.bootstrap import LEVEL, Estimate


def simultaneous_estimates(values: ArrayLike, drawn: ArrayLike, level: float = LEVEL) -> list[Estimate]:
    """Return each difference with an interval, such that all intervals hold at once.

    Args:
        values: The differences, shape (K,).
        drawn: The same in each resample, shape (R, K).
        level: Part of the resamples in which all lie inside.
    """
    found, resampled = np.asarray(values, float), np.asarray(drawn, float)
    spread = resampled.std(axis=0)
    moved = np.abs(resampled - resampled.mean(axis=0))
    largest = np.divide(moved, spread, out=np.zeros_like(moved), where=spread > 0).max(axis=1)
    reach = float(np.quantile(largest, level)) * spread
    return [
        Estimate(value, value - by, value + by)
        for value, by in zip(found.tolist(), reach.tolist(), strict=True)
    ]
