"""The mean of a score over folds or seeds, and how far it can be trusted."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from lesionwise.evaluation.scores.bootstrap import LEVEL
from lesionwise.evaluation.scores.evaluate import LOSSES, Evaluation


@dataclass(frozen=True)
class Spread:
    """Several values of one score.

    Attributes:
        deviation: Their standard deviation with J - 1 in the denominator; None of a single one.
        low: Lower bound of the 95 % interval of the mean; None of a single one.
    """

    mean: float
    deviation: float | None
    low: float | None
    high: float | None
    each: tuple[float, ...]

    def __str__(self) -> str:
        if self.low is None:
            return f"{self.mean:.3f}"
        return f"{self.mean:.3f} ({self.low:.3f} to {self.high:.3f})"


def mean_over_folds(values: Sequence[float], *, ratio: float, most: float = 1.0) -> Spread:
    """Return the mean of a score over folds; the interval accounts for the training images that folds share.

    Two of k folds have most of their training images in common, so their scores are not independent, and the
    usual standard error is too small. To 1 / J, Nadeau and Bengio add the ratio of test to training images:
    1 / (k - 1) where all other folds are trained on, more where val and cal are taken from them.

    Args:
        values: The score of each fold that was run, J of them.
        ratio: Held-out images for each one that was trained on.
        most: The greatest value the score can have, to which the interval is cut.

    Example:
        >>> print(mean_over_folds([0.70, 0.72, 0.68, 0.74], ratio=1 / 3))
        0.710 (0.647 to 0.773)

    References:
        Nadeau and Bengio (2003), Inference for the generalization error,
        https://doi.org/10.1023/A:1024068626366
    """
    return _spread(values, 1 / len(values) + ratio, most)


def mean_over_seeds(values: Sequence[float], *, most: float = 1.0) -> Spread:
    """Return the mean of a score over seeds on one split: the effect of chance in training, and nothing else.

    The interval says where the mean of many seeds lies on these very images. Only the lesion bootstrap says
    how sure a score is on other lesions.

    Args:
        most: The greatest value the score can have, to which the interval is cut.
    """
    return _spread(values, 1 / len(values), most)


def _spread(values: Sequence[float], factor: float, most: float) -> Spread:
    drawn = np.asarray(values, float)
    mean = float(drawn.mean())
    if len(drawn) == 1:
        return Spread(mean, None, None, None, (mean,))
    deviation = float(drawn.std(ddof=1))
    reach = -float(stdtrit(len(drawn) - 1, (1 - LEVEL) / 2)) * deviation * factor**0.5
    low, high = max(0.0, mean - reach), min(most, mean + reach)
    return Spread(mean, deviation, low, high, tuple(float(value) for value in drawn))


def spread_of(evaluations: Iterable[Evaluation], mean: Callable[..., Spread]) -> dict[str, Spread]:
    """Return the spread of each score over several evaluations. `mean`: one of the two above."""
    overall = [evaluation.overall for evaluation in evaluations]
    return {
        name: mean([each[name].value for each in overall], most=float("inf") if name in LOSSES else 1.0)
        for name in overall[0]
    }
