"""Scores of the probabilities: is a stated 70 % right in 70 of 100 cases, and is it far from a guess.

Not here: mending the probabilities. Letters: B bins.

All of them are losses: lower is better, 0 is perfect.
"""

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from scipy.special import ndtr

from lesionwise.arrays import Floats, Integers
from lesionwise.evaluation.scores.bootstrap import RESAMPLES, Estimate, block_size, percentile_interval
from lesionwise.evaluation.scores.weights import (
    Lesions,
    Probs,
    Truth,
    Weights,
    check_arguments,
    check_probabilities,
    ratio,
    sum_by,
)

BINS: Final = 15  # as in Guo et al. (2017), https://arxiv.org/abs/1706.04599
_LEAST: Final = float(np.finfo(float).eps)  # as in scikit-learn: the worst answer costs 36 nats


def log_loss(y_true: Truth, y_prob: Probs, weights: Weights | None = None) -> Floats:
    """Return the mean surprise, in nats, at the true class.

    Returns:
        A number of at least 0, or shape (R,); log C is what equal probabilities give.

    References:
        Good (1952), https://doi.org/10.1111/j.2517-6161.1952.tb00104.x
    """
    return _mean(surprises(*_check(y_true, y_prob)), weights)


def brier_loss(y_true: Truth, y_prob: Probs, weights: Weights | None = None) -> Floats:
    """Return the mean squared distance of the probabilities from the truth, summed over classes.

    Returns:
        A number in [0, 2], or shape (R,): Brier's own form, twice the usual one where C is 2.

    References:
        Brier (1950), https://doi.org/10.1175/1520-0493(1950)078<0001:VOFEIT>2.0.CO;2
    """
    return _mean(squared_distances(*_check(y_true, y_prob)), weights)


def expected_calibration_error(
    y_true: Truth, y_prob: Probs, weights: Weights | None = None, *, bins: int = BINS
) -> Floats:
    """Return how far confidence is from accuracy on average in the sample, without correction.

    Chance alone makes it larger than zero for a perfectly calibrated model, and more so with fewer samples;
    `calibration_estimate` corrects that.

    References:
        Naeini, Cooper, Hauskrecht (2015), https://doi.org/10.1609/aaai.v29i1.9602; equal-mass bins after
        Nixon et al. (2019), https://arxiv.org/abs/1904.01685
    """
    return np.asarray(np.abs(calibration_gaps(y_true, y_prob, weights, bins=bins)).sum(-1))


def confidence_bins(y_prob: Floats, bins: int = BINS) -> tuple[Floats, Integers]:
    """Return the confidence of each sample and its bin in [0, B); equal confidences share a bin."""
    confidence = y_prob.max(axis=1)
    edges = np.quantile(confidence, np.arange(1, bins) / bins)
    return confidence, np.searchsorted(edges, confidence, side="right").astype(np.int64)


def calibration_gaps(
    y_true: Truth, y_prob: Probs, weights: Weights | None = None, *, bins: int = BINS
) -> Floats:
    """Return accuracy less confidence of each bin, times the bin's part of all: (B,) or (R, B)."""
    truth, prob = _check(y_true, y_prob)
    confidence, bin_ = confidence_bins(prob, bins)
    gap = (prob.argmax(axis=1) == truth) - confidence
    total = float(len(truth)) if weights is None else np.asarray(weights).sum(axis=1)[:, None]
    return np.asarray(sum_by(bin_, bins, weights, values=gap) / total)


def calibration_estimate(gaps: Floats, drawn: Floats) -> Estimate:
    """Return the expected calibration error without the part that chance adds, and its interval.

    A bin whose true gap is m shows |m + noise|, which is larger than |m| on average. The noise of each bin
    is known from the resamples; its part is taken off bin by bin, as the mean of a folded normal, at the gap
    that is left when the variance of the noise is taken off the squared gap. The interval is that of the
    resamples, moved to the corrected value, because each resample carries the excess a second time; it
    reaches down to 0 where noise alone would show as much.

    References:
        Bias of the binned error: Roelofs et al. (2022), https://proceedings.mlr.press/v151/roelofs22a.html;
        variance off the squared gap: Kumar, Liang, Ma (2019), https://arxiv.org/abs/1909.10155; folded
        normal: Leone et al. (1961), https://doi.org/10.1080/00401706.1961.10489974
    """
    noise = drawn.std(axis=0)
    true_gap = np.sqrt(np.maximum(gaps**2 - noise**2, 0))
    value = max(0.0, float((np.abs(gaps) - _folded_excess(true_gap, noise)).sum()))
    errors = np.abs(drawn).sum(axis=1)
    low, high = percentile_interval(errors - errors.mean() + value)
    _, chance = percentile_interval(np.abs(drawn - gaps).sum(axis=1))
    if np.abs(gaps).sum() <= chance:  # a calibrated model would show as much
        low = np.zeros(())
    return Estimate(value, min(value, max(0.0, float(low))), max(value, float(high)))


def _folded_excess(mean: Floats, deviation: Floats) -> Floats:
    """Return by how much the mean of |X| exceeds the mean of a normal X, for a mean of at least 0."""
    z = ratio(mean, deviation, undefined=np.inf)
    density = np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)
    return np.asarray(2 * deviation * (density - np.where(np.isinf(z), 0, z) * ndtr(-z)))


def surprises(truth: Integers, prob: Floats) -> Floats:
    """Return what the true class of each sample adds to the log loss, shape (N,)."""
    return np.asarray(-np.log(np.clip(prob[np.arange(len(truth)), truth], _LEAST, 1)))


def squared_distances(truth: Integers, prob: Floats) -> Floats:
    """Return what each sample adds to the Brier score, shape (N,)."""
    at_truth = prob[np.arange(len(truth)), truth]
    return np.asarray((prob**2).sum(axis=1) - 2 * at_truth + 1)


def _check(y_true: Truth, y_prob: Probs) -> tuple[Integers, Floats]:
    truth, prob = check_arguments(y_true, y_prob)
    check_probabilities(prob)
    return truth, prob


def _mean(values: Floats, weights: Weights | None) -> Floats:
    if weights is None:
        return np.asarray(values.mean())
    counts = np.asarray(weights)
    return np.asarray((counts @ values.astype(counts.dtype)) / counts.sum(axis=1), float)


@dataclass(frozen=True)
class EceBand(Estimate):
    """The plain calibration error, and where that of a perfectly calibrated model lies 95 times of 100."""

    @property
    def verdict(self) -> Literal["below", "inside", "above"]:
        """Where the value lies; "above" is more than chance explains."""
        if self.value > self.high:
            return "above"
        return "inside" if self.value >= self.low else "below"


def ece_band(
    y_true: Truth, y_prob: Probs, groups: Lesions, *, resamples: int = RESAMPLES, seed: int = 0
) -> EceBand:
    """Return the plain expected calibration error and the band of a perfectly calibrated model.

    The model states the same confidences about the same photographs of the same lesions, and each photograph
    is right with the chance that it states. Photographs of a lesion are right or wrong together as far as
    that allows: one number is drawn for a lesion, and its photographs with a higher confidence are right.
    Independent draws would give a band too narrow for any model.

    References:
        Consistency resampling: Bröcker, Smith (2007), https://doi.org/10.1175/WAF993.1; Vaicenavicius et
        al. (2019), https://arxiv.org/abs/1902.06977
    """
    truth, prob = check_arguments(y_true, y_prob)
    confidence, bin_ = confidence_bins(prob)
    names, lesion = np.unique(np.asarray(groups), return_inverse=True)
    stated = sum_by(bin_, BINS, values=confidence)
    rng = np.random.default_rng(seed)
    block = block_size(2 * len(truth))  # numbers of twice the size
    errors = []
    for start in range(0, resamples, block):
        number = rng.random((min(block, resamples - start), len(names)))
        right = (number[:, lesion] < confidence).astype(np.float32)
        errors.append(np.abs(sum_by(bin_, BINS, right) - stated).sum(axis=1) / len(truth))
    low, high = percentile_interval(np.concatenate(errors))
    return EceBand(float(expected_calibration_error(truth, prob)), float(low), float(high))
