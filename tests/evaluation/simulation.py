"""Simulated predictions: photographs of lesions, seen by a model that is right more often than not."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

CLASSES = 7


@dataclass(frozen=True)
class Simulated:
    y_true: NDArray[np.int64]
    y_prob: NDArray[np.float64]
    groups: NDArray[np.str_]


def simulate(
    lesions: int = 140, *, seed: int = 0, skill: float = 1.5, sharpness: float = 1.0, digits: int = 2
) -> Simulated:
    """Draw lesions of all seven diagnoses, one to three photographs of each, and a softmax about each.

    Few digits make ties. With a sharpness other than 1 the probabilities are not calibrated.
    """
    rng = np.random.default_rng(seed)
    diagnosis = np.concatenate([np.arange(CLASSES), rng.integers(CLASSES, size=lesions - CLASSES)])
    lesion = np.repeat(np.arange(lesions), rng.integers(1, 4, size=lesions))
    y_true = diagnosis[lesion]
    look = rng.normal(size=(lesions, CLASSES))[lesion] + 0.5 * rng.normal(size=(len(lesion), CLASSES))
    logits = sharpness * (look + skill * np.eye(CLASSES)[y_true])
    odds = np.exp(logits).round(digits) + 10.0**-digits
    return Simulated(
        y_true, odds / odds.sum(axis=1, keepdims=True), np.array([f"L{number:04d}" for number in lesion])
    )
