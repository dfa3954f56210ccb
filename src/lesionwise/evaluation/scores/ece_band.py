"""How large a calibration error chance alone shows: the band of a perfectly calibrated model.

Here: simulating it. Not here: the error itself (`probability`).
Letters: N images, L lesions, R draws.
"""

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import ArrayLike

from lesionwise.evaluation.scores.bootstrap import RESAMPLES, percentile_interval
from lesionwise.evaluation.scores.probability import BINS, confidence_bins, expected_calibration_error
from lesionwise.evaluation.scores.weights import check_arguments, sum_by

_BLOCK_BYTES: Final = 4_000_000  # as in `bootstrap`


@dataclass(frozen=True)
class EceBand:
    """The plain calibration error, and where that of a perfectly calibrated model lies 95 times of 100.

    Attributes:
        value: As it falls out of the sample, nothing taken off.
        low: Lower bound of the band.
        high: Upper bound.
    """

    value: float
    low: float
    high: float

    @property
    def verdict(self) -> Literal["below", "inside", "above"]:
        """Where the value lies; "above" is more than chance explains."""
        if self.value > self.high:
            return "above"
        return "inside" if self.value >= self.low else "below"


def ece_band(
    y_true: ArrayLike, y_prob: ArrayLike, groups: ArrayLike, *, resamples: int = RESAMPLES, seed: int = 0
) -> EceBand:
    """Return the plain expected calibration error and the band of a perfectly calibrated model.

    The model states the same confidences about the same photographs of the same lesions, and each photograph
    is right with the chance that it states. Photographs of a lesion are right or wrong together as far as
    that allows: a lesion draws one number, and those are right whose confidence lies above it. Drawn apart,
    they would give a band too narrow for any model.

    Args:
        y_true: Class index of each image, shape (N,).
        y_prob: Class probabilities, shape (N, C).
        groups: Lesion of each image, shape (N,).
        resamples: Number R of draws.
        seed: Of the draws.

    References:
        Consistency resampling: Bröcker, Smith (2007), https://doi.org/10.1175/WAF993.1; Vaicenavicius et
        al. (2019), https://arxiv.org/abs/1902.06977
    """
    truth, prob = check_arguments(y_true, y_prob)
    confidence, bin_ = confidence_bins(prob)
    names, lesion = np.unique(np.asarray(groups), return_inverse=True)
    stated = sum_by(bin_, BINS, values=confidence)
    rng = np.random.default_rng(seed)
    block = max(1, _BLOCK_BYTES // (8 * len(truth)))
    errors = []
    for start in range(0, resamples, block):
        number = rng.random((min(block, resamples - start), len(names)))
        right = (number[:, lesion] < confidence).astype(np.float32)
        errors.append(np.abs(sum_by(bin_, BINS, right) - stated).sum(axis=1) / len(truth))
    low, high = percentile_interval(np.concatenate(errors))
    return EceBand(float(expected_calibration_error(truth, prob)), float(low), float(high))
