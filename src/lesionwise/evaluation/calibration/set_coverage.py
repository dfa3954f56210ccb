"""Was the promise of the prediction sets kept: coverage on a part that had no share in fitting them.

Here: counting, and the distribution that chance in `cal` and in the part gives a kept promise. Not here:
making the promise (`conformal`).
Letters: N images, C classes, n lesions in `cal`, k rank of the limit, m lesions in the part.

A limit that is the k-th of n scores lets in a part of all lesions that follows Beta(k, n + 1 - k), because
`cal` was a draw too; of m new lesions the number let in is then beta-binomial. Asking for nine of ten
straight would call half of all kept promises broken.
"""

from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.stats import betabinom

from lesionwise.evaluation.calibration.conformal import rank
from lesionwise.evaluation.calibration.record import PredictionSets
from lesionwise.evaluation.scores.bootstrap import LEVEL
from lesionwise.evaluation.scores.weights import Floats, Integers, check_arguments
from lesionwise.labels import CODES

ALL: Final = "all"
"""Stands for the diagnoses with a promise together."""


def set_coverage_table(
    sets: PredictionSets, y_true: ArrayLike, y_prob: ArrayLike, groups: ArrayLike
) -> pd.DataFrame:
    """Return how many lesions were covered, beside how many chance allows where the promise is kept.

    A lesion is covered if the set of each of its photographs holds its diagnosis.

    Args:
        sets: As fitted on `cal`.
        y_true: Class index of each image, shape (N,).
        y_prob: Calibrated probabilities, shape (N, 7).
        groups: Lesion of each image, shape (N,).

    Returns:
        A row per diagnosis with a promise, and one for `ALL` of them: `diagnosis`, `cal_lesions`, `lesions`,
        `covered`, `coverage`, `low` and `high` (the middle 95 % of the coverages that a promise shows
        which is just kept: below `low` it was broken, above `high` the sets give more than they promise, as
        where the answer alone is right more often) and `p_value` (of so few or fewer if it is just kept).

    References:
        Vovk (2012), https://arxiv.org/abs/1209.2673; Angelopoulos, Bates (2021), section 3.2 and appendix C,
        https://arxiv.org/abs/2107.07511
    """
    truth, prob = check_arguments(y_true, y_prob)
    lesions, inside = np.asarray(groups), sets.contains(prob)
    rows, kept, counts = [], np.ones(1), np.zeros(3, int)
    for index, code in enumerate(CODES):
        fitted, own = sets.classes[code], truth == index
        names, lesion = np.unique(lesions[own], return_inverse=True)
        if isinstance(fitted.quantile, str) or not len(names):
            continue
        missed = len(np.unique(lesion[~inside[own, index]]))
        k = rank(fitted.lesions, sets.coverage)
        chances = np.asarray(betabinom.pmf(np.arange(len(names) + 1), len(names), k, fitted.lesions + 1 - k))
        found = np.array([fitted.lesions, len(names), len(names) - missed])
        rows.append(_row(code, found, chances))
        kept, counts = np.convolve(kept, chances), counts + found
    if rows:
        rows.append(_row(ALL, counts, kept))
    return pd.DataFrame(rows)


def set_sizes(sets: PredictionSets, y_prob: ArrayLike) -> dict[str, float]:
    """Return how much the sets say.

    Args:
        sets: As fitted on `cal`.
        y_prob: Calibrated probabilities, shape (N, 7).

    Returns:
        `mean`: diagnoses in a set; `mean_promised`: those of them with a promise (the others are in every
        set); `single`: part of the images whose set holds at most one with a promise.
    """
    inside = sets.contains(y_prob)
    promised = [not isinstance(sets.classes[code].quantile, str) for code in CODES]
    size = inside[:, promised].sum(axis=1)
    return {
        "mean": float(inside.sum(axis=1).mean()),
        "mean_promised": float(size.mean()),
        "single": float((size <= 1).mean()),
    }


def _row(diagnosis: str, counts: Integers, chances: Floats) -> dict[str, object]:
    """Return the row of a diagnosis whose number of covered lesions has these chances, shape (m + 1,)."""
    cal_lesions, lesions, covered = (int(count) for count in counts)
    below = np.cumsum(chances)
    low, high = (int(np.searchsorted(below, (1 + side * LEVEL) / 2)) for side in (-1, 1))
    return {
        "diagnosis": diagnosis,
        "cal_lesions": cal_lesions,
        "lesions": lesions,
        "covered": covered,
        "coverage": covered / lesions,
        "low": low / lesions,
        "high": min(high, lesions) / lesions,
        "p_value": float(min(1.0, below[covered])),
    }
