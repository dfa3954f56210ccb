"""Prediction sets with a promise: the diagnoses that cannot be excluded.

Here: fitting the limits on `cal` (split conformal prediction, each diagnosis by itself), and whether the
promise was kept on other images. Not here: the scores and the sets (`record`). Letters: n lesions of one
diagnosis, k rank.

The promise: of all new lesions of a diagnosis, at least `coverage` have it in the set of every one of their
photographs. Lesions are drawn, so each lesion has one score: that of its strangest photograph.
`docs/calibration.md` derives this, and shows what would break if photographs were taken for lesions.
"""

import math
from typing import Final

import numpy as np
import pandas as pd
from scipy.special import betaln

from lesionwise.arrays import Floats, Integers
from lesionwise.evaluation.calibration.record import (
    NO_PROMISE,
    ClassQuantile,
    NoPromise,
    PredictionSets,
    Rule,
    nonconformity,
)
from lesionwise.evaluation.scores.bootstrap import LEVEL
from lesionwise.evaluation.scores.weights import Lesions, Probs, Truth, check_arguments
from lesionwise.labels import CODES

ALL: Final = "all"
"""Stands for the diagnoses with a promise together."""


def fit_prediction_sets(
    y_true: Truth, y_prob: Probs, groups: Lesions, *, coverage: float = 0.9, rule: Rule = "lac"
) -> PredictionSets:
    """Return the limit of each diagnosis: its k-th smallest lesion score, k as `rank` gives it.

    References:
        Vovk (2012), Conditional validity of inductive conformal predictors, https://arxiv.org/abs/1209.2673
    """
    scores = nonconformity(y_prob, rule)
    truth, lesions = np.asarray(y_true), np.asarray(groups)
    classes = {}
    for index, code in enumerate(CODES):
        own = truth == index
        worst = np.sort(largest_per_lesion(scores[own, index], lesions[own]))
        k = rank(len(worst), coverage)
        quantile: float | NoPromise = float(worst[k - 1]) if k <= len(worst) else NO_PROMISE
        classes[code] = ClassQuantile(lesions=len(worst), quantile=quantile)
    return PredictionSets.model_validate({"rule": rule, "coverage": coverage, "classes": classes})


def rank(lesions: int, coverage: float) -> int:
    """Return which of the sorted scores of n lesions is the limit: k = ⌈(n + 1) coverage⌉.

    A new lesion is as likely to take each of the n + 1 places among the old ones, so it is at or below the
    k-th with a chance of at least k / (n + 1). Above n there is no such score, and nothing can be promised.

    Example:
        >>> [rank(n, 0.9) for n in (8, 9, 10, 100)]
        [9, 9, 10, 91]
    """
    return math.ceil(round((lesions + 1) * coverage, 9))  # a tenth is not a binary fraction


def least_lesions(coverage: float) -> int:
    """Return the least number of lesions that allows a promise.

    Example:
        >>> [least_lesions(coverage) for coverage in (0.8, 0.9, 0.95)]
        [4, 9, 19]
    """
    return math.ceil(round(coverage / (1 - coverage), 9))


def largest_per_lesion(scores: Floats, groups: Lesions) -> Floats:
    """Return the largest score of each lesion, shape (n,), in the order of sorted lesion names."""
    names, lesion = np.unique(np.asarray(groups), return_inverse=True)
    largest = np.full(len(names), -np.inf)
    np.maximum.at(largest, lesion, scores)
    return largest


def set_coverage_table(sets: PredictionSets, y_true: Truth, y_prob: Probs, groups: Lesions) -> pd.DataFrame:
    """Return how many lesions were covered, beside how many chance allows where the promise is kept.

    A lesion is covered if the set of each of its photographs holds its diagnosis.

    Returns:
        A row per diagnosis with a promise, and one for `ALL` of them: `diagnosis`, `cal_lesions`, `lesions`,
        `covered`, `coverage`, `low` and `high` (the middle 95 % of the coverages to expect if the promise is
        just kept: below `low` it was broken; above `high` the sets give more than they promise, such as where
        the answer alone is right more often) and `p_value` (of so few or fewer if it is just kept).

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
        chances = _beta_binomial(len(names), k, fitted.lesions + 1 - k)
        found = np.array([fitted.lesions, len(names), len(names) - missed])
        rows.append(_row(code, found, chances))
        kept, counts = np.convolve(kept, chances), counts + found
    if rows:
        rows.append(_row(ALL, counts, kept))
    return pd.DataFrame(rows)


def _beta_binomial(trials: int, a: float, b: float) -> Floats:
    """Return the probability of each number of successes, shape (trials + 1,), as `scipy.stats.betabinom`."""
    hits = np.arange(trials + 1)
    ways = -np.log(trials + 1) - betaln(trials - hits + 1, hits + 1)
    return np.asarray(np.exp(ways + betaln(hits + a, trials - hits + b) - betaln(a, b)))


def set_sizes(sets: PredictionSets, y_prob: Probs) -> dict[str, float]:
    """Return how large the sets are.

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
