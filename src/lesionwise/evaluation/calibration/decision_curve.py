"""Decision curves: is acting on the model better than acting on everybody or on nobody.

Not here: choosing one (`operating_points`) and drawing. Letters: G thresholds.

Whoever acts from a probability of t on takes t / (1 - t) false alarms for one true one. At that rate of
exchange false alarms are taken off the true ones: what is left, per image, is the net benefit.
"""

from typing import Final

import numpy as np
import pandas as pd

from lesionwise.arrays import Booleans, Floats
from lesionwise.evaluation.calibration.operating_points import is_positive
from lesionwise.evaluation.calibration.record import POSITIVE, question_probability
from lesionwise.evaluation.scores.bootstrap import Cells
from lesionwise.evaluation.scores.curves import BAND_RESAMPLES, draw_bands, exact_curve
from lesionwise.evaluation.scores.weights import Lesions, Probs, Truth, check_arguments

_THRESHOLDS: Final = np.arange(1, 61) / 100  # nobody waits for more than 60 % to look at a melanoma


def decision_curve_table(
    y_true: Truth, y_prob: Probs, groups: Lesions, *, resamples: int = BAND_RESAMPLES
) -> pd.DataFrame:
    """Return the net benefit of the model, and of acting on everybody, at thresholds of 0.01 to 0.60.

    It is at most how common a yes is; 0 is what acting on nobody gives.

    References:
        Vickers, Elkin (2006), https://doi.org/10.1177/0272989X06295361
    """
    truth, prob = check_arguments(y_true, y_prob)
    asked = {
        question: (is_positive(truth, question), question_probability(prob, question))
        for question in POSITIVE
    }
    cells: dict[str, Cells] = {question: _cells(*sample) for question, sample in asked.items()}
    bands = draw_bands(_benefit, cells, groups, truth, resamples=resamples)
    tables = []
    for question, (positive, _) in asked.items():
        columns = {
            "question": question,
            "threshold": _THRESHOLDS,
            "net_benefit": exact_curve(_benefit, cells[question]),
            **bands[question],
            "everybody": exact_curve(_benefit, _cells(positive, np.ones(len(positive)))),
        }
        tables.append(pd.DataFrame(columns))
    return pd.concat(tables, ignore_index=True)


def _cells(positive: Booleans, score: Floats) -> Cells:
    """Return two cells for each number of thresholds that a probability reaches: for no, and for yes."""
    reached = np.searchsorted(_THRESHOLDS, score, "right")
    return Cells(2 * reached + positive, 2 * (len(_THRESHOLDS) + 1))


def _benefit(counts: Floats) -> Floats:
    """Return the net benefit at each threshold, shape (R, G), of the sums of `_cells`."""
    alarms = np.cumsum(counts[:, :0:-1], axis=1)[:, ::-1]
    benefit = alarms[..., 1] - alarms[..., 0] * _THRESHOLDS / (1 - _THRESHOLDS)
    return np.asarray(benefit / counts.sum(axis=(1, 2))[:, None])
