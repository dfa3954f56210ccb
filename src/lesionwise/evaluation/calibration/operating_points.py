"""Operating points: thresholds for a yes or no, at a chosen sensitivity or specificity.

Not here: deciding with them (`record`). Letters: n lesions on one side of the question.

Each lesion counts once; its photographs share its vote. So the sensitivity is the chance that a photograph
of a melanoma is called, where a lesion is drawn first, and then one of its photographs.
"""

from collections.abc import Iterable
from dataclasses import asdict
from typing import Final

import numpy as np
from numpy.typing import NDArray

from lesionwise.arrays import Booleans, Floats
from lesionwise.evaluation.calibration.record import (
    NO_PROMISE,
    POSITIVE,
    Aim,
    Interval,
    NoPromise,
    OperatingPoint,
    Question,
    question_probability,
)
from lesionwise.evaluation.scores.bootstrap import RESAMPLES, Estimate, fraction_estimate, resample_weights
from lesionwise.evaluation.scores.weights import Lesions, Probs, Truth, check_arguments, lesion_shares
from lesionwise.labels import INDEX

Wish = tuple[Question, Aim, float]
_SLACK: Final = 1e-9  # of sums of thirds


def both_questions(sensitivities: Iterable[float], specificities: Iterable[float]) -> tuple[Wish, ...]:
    """Return the wishes for both questions, in the order given: the first of each question is served."""
    wished: dict[Aim, Iterable[float]] = {"sensitivity": sensitivities, "specificity": specificities}
    aims = [(aim, part) for aim, parts in wished.items() for part in parts]
    return tuple((question, aim, part) for question in POSITIVE for aim, part in aims)


DEFAULT_POINTS: Final[tuple[Wish, ...]] = both_questions([0.9, 0.95], [0.9])
"""The first of each question is served. Dermatologists find 87 to 89 of 100 melanomas on such images
(Haenssle et al. 2018, https://doi.org/10.1093/annonc/mdy166): finding fewer is of little use."""


def choose_point(
    y_true: Truth,
    y_prob: Probs,
    groups: Lesions,
    *,
    question: Question,
    aim: Aim,
    at_least: float,
    resamples: int = RESAMPLES,
) -> OperatingPoint:
    """Return the threshold that reaches what is asked for and loses least of the other.

    As with prediction sets, the number of lesions is counted one higher, as if one more lesion had been got
    wrong: reaching nine tenths of sixty would on average find less than nine tenths of new ones.

    References:
        Lee, Barber, Willett (2023), Distribution-free inference with hierarchical data,
        https://arxiv.org/abs/2306.06342
    """
    truth, prob = check_arguments(y_true, y_prob)
    lesions = np.asarray(groups)
    positive, score = is_positive(truth, question), question_probability(prob, question)
    own = positive if aim == "sensitivity" else ~positive
    point = OperatingPoint(
        question=question,
        aim=aim,
        at_least=at_least,
        threshold=_threshold(score[own], lesions[own], aim, at_least),
        positives=len(np.unique(lesions[positive])),
        negatives=len(np.unique(lesions[~positive])),
    )
    measured = measure_point(point, truth, prob, lesions, resamples=resamples)
    return point.model_copy(update={name: Interval(**asdict(value)) for name, value in measured.items()})


def measure_point(
    point: OperatingPoint, y_true: Truth, y_prob: Probs, groups: Lesions, *, resamples: int = RESAMPLES
) -> dict[str, Estimate]:
    """Return sensitivity and specificity of a threshold, each lesion counting once; empty without one.

    A side of the question without any lesion is left out.
    """
    called = point.decide(y_prob)
    if called is None:
        return {}
    lesions, positive = np.asarray(groups), is_positive(y_true, point.question)
    strata = positive.astype(np.int64)
    weights = np.concatenate(list(resample_weights(lesions, strata, resamples=resamples)))
    found = {}
    for name, side, right in (("sensitivity", positive, called), ("specificity", ~positive, ~called)):
        if not side.any():
            continue
        shares = lesion_shares(lesions[side])
        counted = weights[:, side] * shares
        drawn = (counted @ right[side]) / counted.sum(axis=1)
        value = float(shares @ right[side] / shares.sum())
        found[name] = fraction_estimate(value, drawn, len(np.unique(lesions[side])))
    return found


def is_positive(y_true: Truth, question: Question) -> Booleans:
    """Return which images are truly a yes, shape (N,)."""
    return np.isin(np.asarray(y_true), [INDEX[code] for code in POSITIVE[question]])


def _threshold(score: Floats, lesions: NDArray[np.str_], aim: Aim, at_least: float) -> float | NoPromise:
    """Return the threshold that calls (or spares) enough of one side's photographs."""
    if not len(score):
        return NO_PROMISE
    shares = lesion_shares(lesions)
    needed = at_least * (shares.sum() + 1) - _SLACK
    order = np.argsort(-score if aim == "sensitivity" else score, kind="stable")
    reached = np.flatnonzero(np.cumsum(shares[order]) >= needed)
    if not len(reached):
        return NO_PROMISE
    limit = float(score[order[reached[0]]])
    if aim == "specificity":  # the photograph at the limit must be spared
        limit = float(np.nextafter(limit, 2))
    return limit if limit <= 1 else NO_PROMISE
