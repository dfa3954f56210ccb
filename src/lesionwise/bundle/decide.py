"""From probabilities to the decision on an image: answer, uncertain, or not a lesion image.

Here: the rules, and how near an answer is to another one, with numpy alone. Not here: thresholds and
quantiles, which the calibration holds.
"""

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lesionwise.arrays import Booleans, Floats, Integers, lead
from lesionwise.bundle.description import Description
from lesionwise.evaluation.calibration.record import nonconformity, question_probability
from lesionwise.labels import CODES, MALIGNANT

Decision = Literal["answer", "uncertain", "not_a_lesion_image"]
_LEAST: Final = 1e-9  # of a probability, for a finite logarithm


@dataclass(frozen=True)
class Decisions:
    """The decisions on some images.

    Attributes:
        decision: A `Decision` for each image, shape (N,).
        top: Code of the most likely diagnosis, shape (N,).
        malignant_probability: Probability of `akiec`, `bcc` and `mel` together, shape (N,).
        prediction_set: Whether each diagnosis cannot be excluded, shape (N, C); None without calibration.
        above_melanoma_threshold: Whether melanoma is likely enough to be reported, shape (N,); None without
            a threshold.
    """

    decision: NDArray[np.str_]
    top: NDArray[np.str_]
    malignant_probability: Floats
    prediction_set: Booleans | None
    above_melanoma_threshold: Booleans | None

    def prediction_codes(self, image: int) -> tuple[str, ...] | None:
        """Return the diagnoses that cannot be excluded in one image, in the order of the classes."""
        if self.prediction_set is None:
            return None
        return tuple(code for code, held in zip(CODES, self.prediction_set[image], strict=True) if held)


def decide(
    description: Description, probabilities: ArrayLike, ood_score: ArrayLike | None = None
) -> Decisions:
    """Return the decisions of a bundle on images, from the outputs of its graph.

    Args:
        probabilities: Calibrated, shape (N, C).
        ood_score: How unlike a lesion image each is, shape (N,); None if the model has no such score.

    Raises:
        ValueError: If a probability is not finite.
    """
    prob = np.asarray(probabilities, float)
    if not np.isfinite(prob).all():
        raise ValueError("Expected finite probabilities but found NaN or infinity.")
    calibration = description.calibration
    likeliest = prob.argmax(axis=1)
    decision = np.full(len(prob), "answer", dtype="<U18")
    held = melanoma = None
    if calibration is not None:
        held = calibration.prediction_sets.contains(prob)
        point = calibration.operating_point("melanoma")
        melanoma = None if point is None else point.decide(prob)
        promised = [not isinstance(calibration.prediction_sets.classes[code].quantile, str) for code in CODES]
        decision[_leaves_open(held & promised, likeliest)] = "uncertain"
    if ood_score is not None and description.ood_cutoff is not None:
        foreign = np.asarray(ood_score, float)
        decision[np.isnan(foreign) | (foreign >= description.ood_cutoff)] = "not_a_lesion_image"
    return Decisions(
        decision=decision,
        top=np.asarray(CODES)[likeliest],
        malignant_probability=question_probability(prob, "malignant"),
        prediction_set=held,
        above_melanoma_threshold=melanoma,
    )


def distance_to_change(description: Description, probabilities: NDArray[np.floating]) -> Floats:
    """Return how near each answer is to another diagnosis, prediction set or melanoma flag, shape (N,).

    It is the least difference of log-odds: of the two largest probabilities from each other, of a diagnosis
    from the limit of its set, and of melanoma from its threshold. Rounding moves log-odds by about as much
    everywhere, while it moves probabilities most in the middle. Sets of the rule "aps" also change where two
    less likely diagnoses change places, which is not counted.

    Args:
        probabilities: Calibrated, shape (N, C).
    """
    prob = np.asarray(probabilities, float)
    distance = lead(np.log(np.maximum(prob, _LEAST)))
    calibration = description.calibration
    if calibration is None:
        return distance
    sets, point = calibration.prediction_sets, calibration.operating_point("melanoma")
    away = _distance(nonconformity(prob, sets.rule), sets.limits)
    away[np.arange(len(prob)), prob.argmax(axis=1)] = np.inf  # it is in every set, and leaves only at a tie
    distance = np.minimum(distance, away.min(axis=1))
    if point is not None and not isinstance(point.threshold, str):
        distance = np.minimum(distance, _distance(question_probability(prob, "melanoma"), point.threshold))
    return np.asarray(distance)


def _distance(values: Floats, limits: ArrayLike) -> Floats:
    """Return how far values are from their limits in log-odds; infinitely far if a limit divides nothing."""
    divides = (np.greater(limits, _LEAST)) & (np.less(limits, 1 - _LEAST))
    return np.where(divides, np.abs(_log_odds(values) - _log_odds(limits)), np.inf)


def _log_odds(values: ArrayLike) -> Floats:
    inside = np.clip(np.asarray(values, float), _LEAST, 1 - _LEAST)
    return np.asarray(np.log(inside) - np.log1p(-inside))


def _leaves_open(held: Booleans, likeliest: Integers) -> Booleans:
    """Return which sets contain both malignant and benign diagnoses, shape (N,).

    Diagnoses without a promise are in every set and would make every answer uncertain. They count only if
    they are the most likely.

    Args:
        held: Sets of the diagnoses with a promise, shape (N, C).
        likeliest: Index of the most likely diagnosis, shape (N,).
    """
    inside = held.copy()
    inside[np.arange(len(inside)), likeliest] = True
    malignant = np.isin(CODES, MALIGNANT)
    return np.asarray(inside[:, malignant].any(axis=1) & inside[:, ~malignant].any(axis=1))
