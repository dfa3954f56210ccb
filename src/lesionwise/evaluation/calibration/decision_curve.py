"""Decision curves: is acting on the model better than acting on everybody or on nobody.

Not here: choosing one (`operating_points`) and drawing. Letters: G thresholds.

Whoever acts from a probability of t on takes t / (1 - t) false alarms for one true one. At that rate of
exchange false alarms are taken off the true ones: what is left, per image, is the net benefit.
"""

from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from lesionwise.evaluation.calibration.operating_points import is_positive
from lesionwise.evaluation.calibration.record import POSITIVE, question_probability
from lesionwise.evaluation.scores.bootstrap import draw, percentile_interval
from lesionwise.evaluation.scores.curves import BAND_RESAMPLES
from lesionwise.evaluation.scores.weights import Floats, Lesions, Probs, Truth, Weights, check_arguments

_THRESHOLDS: Final = np.arange(1, 61) / 100  # nobody waits for more than 60 % to look at a melanoma


def net_benefit(
    positive: ArrayLike, probability: ArrayLike, threshold: float, weights: Weights | None = None
) -> Floats:
    """Return true alarms less false ones at the threshold's rate of exchange, per image.

    Args:
        probability: Probability of the positive class, shape (N,); alarm from the threshold on.

    Returns:
        A number, or shape (R,): at most how common a yes is; 0 is what acting on nobody gives.

    References:
        Vickers, Elkin (2006), https://doi.org/10.1177/0272989X06295361
    """
    yes = np.asarray(positive, bool)
    worth = np.where(yes, 1.0, -threshold / (1 - threshold)) * (np.asarray(probability) >= threshold)
    if weights is None:
        return np.asarray(worth.mean())
    counts = np.asarray(weights, float)
    return np.asarray(counts @ worth / counts.sum(axis=1))


def decision_curve_table(
    y_true: Truth, y_prob: Probs, groups: Lesions, *, resamples: int = BAND_RESAMPLES, seed: int = 0
) -> pd.DataFrame:
    """Return the net benefit of the model, and of acting on everybody, at thresholds of 0.01 to 0.60."""
    truth, prob = check_arguments(y_true, y_prob)
    asked = {
        question: (is_positive(truth, question), question_probability(prob, question))
        for question in POSITIVE
    }

    def curves(weights: Weights) -> Floats:
        return np.stack([_curve(*sample, weights) for sample in asked.values()], axis=1)

    lows, highs = percentile_interval(draw(curves, groups, truth, resamples=resamples, seed=seed))
    tables = [
        pd.DataFrame(
            {
                "question": question,
                "threshold": _THRESHOLDS,
                "net_benefit": _curve(positive, score),
                "low": low,
                "high": high,
                "everybody": _curve(positive, np.ones(len(positive))),
            }
        )
        for (question, (positive, score)), low, high in zip(asked.items(), lows, highs, strict=True)
    ]
    return pd.concat(tables, ignore_index=True)


def _curve(positive: NDArray[np.bool_], score: Floats, weights: Weights | None = None) -> Floats:
    """Return the net benefit at each threshold, shape (G,) or (R, G)."""
    return np.stack([net_benefit(positive, score, limit, weights) for limit in _THRESHOLDS], axis=-1)
