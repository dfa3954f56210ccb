"""Prediction sets with a promise: the diagnoses that cannot be excluded.

Here: fitting the limits on `cal` (split conformal prediction, each diagnosis by itself), in numpy alone. Not
here: the scores and the sets (`calibration`), and whether the promise was kept (`set_coverage`).
Letters: N images, C classes, n lesions of one diagnosis, k rank.

The promise: of all new lesions of a diagnosis, at least `coverage` have it in the set of every one of their
photographs. The lesion is what is drawn, so the lesion has the score: the strangest of its photographs speaks
for it. `docs/calibration.md` derives this, and what taking photographs for lesions would break.
"""

import math

import numpy as np
from numpy.typing import ArrayLike

from lesionwise.evaluation.calibration.record import (
    NO_PROMISE,
    ClassQuantile,
    Floats,
    NoPromise,
    PredictionSets,
    Rule,
    strangeness,
)
from lesionwise.labels import CODES


def fit_prediction_sets(
    y_true: ArrayLike, y_prob: ArrayLike, groups: ArrayLike, *, coverage: float = 0.9, rule: Rule = "lac"
) -> PredictionSets:
    """Return the limit of each diagnosis: its k-th smallest lesion score, k as `rank` gives it.

    Args:
        y_true: Class index of each image, shape (N,).
        y_prob: Calibrated probabilities, shape (N, 7).
        groups: Lesion of each image, shape (N,).
        coverage: What is promised of each diagnosis.
        rule: How strangeness is measured.

    References:
        Vovk (2012), Conditional validity of inductive conformal predictors, https://arxiv.org/abs/1209.2673
    """
    scores = strangeness(y_prob, rule)
    truth, lesions = np.asarray(y_true), np.asarray(groups)
    classes = {}
    for index, code in enumerate(CODES):
        own = truth == index
        worst = np.sort(strangest(scores[own, index], lesions[own]))
        k = rank(len(worst), coverage)
        quantile: float | NoPromise = float(worst[k - 1]) if k <= len(worst) else NO_PROMISE
        classes[code] = ClassQuantile(lesions=len(worst), quantile=quantile)
    return PredictionSets.model_validate({"rule": rule, "coverage": coverage, "classes": classes})


def rank(lesions: int, coverage: float) -> int:
    """Return which of the sorted scores of n lesions is the limit: k = ⌈(n + 1) coverage⌉.

    A new lesion is as likely to take each of the n + 1 places among the old ones, so it is at or below the
    k-th with a chance of at least k / (n + 1). Above n there is no such score, and nothing can be promised.

    Args:
        lesions: Their number n.
        coverage: What is promised.

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


def strangest(scores: Floats, groups: ArrayLike) -> Floats:
    """Return the largest score of each lesion, shape (n,), in the order of sorted lesion names.

    Args:
        scores: Of each photograph, shape (N,).
        groups: Lesion of each photograph, shape (N,).
    """
    names, lesion = np.unique(np.asarray(groups), return_inverse=True)
    largest = np.full(len(names), -np.inf)
    np.maximum.at(largest, lesion, scores)
    return largest
