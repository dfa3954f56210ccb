"""Scaling: making probabilities agree with frequencies, by one number or by a factor and an offset each.

Here: fitting on `cal`. Not here: applying (`record`) and judging the result (`check`).

Both lower the log loss, in which each lesion counts once: five photographs of one melanoma share its vote.
"""

from typing import Final

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import minimize, minimize_scalar

from lesionwise.arrays import Floats, Integers
from lesionwise.evaluation.calibration.record import TemperatureScaling, VectorScaling, softmax
from lesionwise.evaluation.scores.weights import Lesions, Truth, check_arguments, lesion_shares
from lesionwise.labels import CODES

SMALLEST: Final = 0.05
LARGEST: Final = 20.0
"""The limits of temperatures and factors: where all answers are right, the best temperature would be 0."""
_LARGEST_OFFSET: Final = 10.0
_AT_LIMIT: Final = 1.01  # a bounded search ends just inside


def fit_temperature(y_true: Truth, logits: ArrayLike, groups: Lesions) -> TemperatureScaling:
    """Return the temperature with the least log loss.

    References:
        Guo et al. (2017), https://arxiv.org/abs/1706.04599
    """
    truth, raw = check_arguments(y_true, logits)
    shares = lesion_shares(groups)
    found = minimize_scalar(
        lambda log: scaled_loss(truth, raw / np.exp(log), shares),
        bounds=(np.log(SMALLEST), np.log(LARGEST)),
        method="bounded",
        options={"xatol": 1e-8},
    )
    return TemperatureScaling(temperature=float(np.exp(found.x)))


def fit_vector(y_true: Truth, logits: ArrayLike, groups: Lesions) -> VectorScaling:
    """Return the factors and offsets with the least log loss; the offsets sum to 0.

    Raises:
        ValueError: If a class has no image: its best offset would be minus infinity.

    References:
        Guo et al. (2017), https://arxiv.org/abs/1706.04599
    """
    truth, raw = check_arguments(y_true, logits)
    classes = raw.shape[1]
    absent = [code for index, code in enumerate(CODES) if not (truth == index).any()]
    if absent:
        raise ValueError(
            f"Vector scaling needs images of every diagnosis but found none of {', '.join(absent)}. "
            "Use temperature scaling."
        )
    shares = lesion_shares(groups)
    start = np.concatenate([fit_temperature(truth, raw, groups).factor, np.zeros(classes)])
    found = minimize(
        _loss_and_slope,
        start,
        args=(truth, raw, shares),
        jac=True,
        method="L-BFGS-B",
        bounds=[(SMALLEST, LARGEST)] * classes + [(-_LARGEST_OFFSET, _LARGEST_OFFSET)] * classes,
        options={"maxiter": 2_000, "ftol": 1e-14, "gtol": 1e-9},
    )
    factors, offsets = np.split(found.x, 2)
    return VectorScaling(factors=tuple(factors.tolist()), offsets=tuple((offsets - offsets.mean()).tolist()))


def stops_at_limit(scaling: TemperatureScaling | VectorScaling) -> bool:
    """Return whether a factor was stopped by `SMALLEST` or `LARGEST`: the best one lies beyond."""
    factor = scaling.factor
    return bool((np.minimum(factor / SMALLEST, LARGEST / factor) < _AT_LIMIT).any())


def scaled_loss(y_true: Integers, logits: Floats, shares: Floats) -> float:
    """Return the log loss, each image counting by its share; unclipped, with a slope everywhere."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_prob = shifted[np.arange(len(y_true)), y_true] - np.log(np.exp(shifted).sum(axis=1))
    return float(-(shares @ log_prob) / shares.sum())


def _loss_and_slope(
    parameters: Floats, y_true: Integers, logits: Floats, shares: Floats
) -> tuple[float, Floats]:
    factors, offsets = np.split(parameters, 2)
    scaled = logits * factors + offsets
    error = softmax(scaled) - np.eye(logits.shape[1])[y_true]
    weighted = error * (shares / shares.sum())[:, None]
    slope = np.concatenate([(weighted * logits).sum(axis=0), weighted.sum(axis=0)])
    return scaled_loss(y_true, scaled, shares), slope
