import numpy as np
import pytest

from evaluation.simulation import Simulated
from lesionwise.evaluation.calibration.decision_curve import decision_curve_table
from lesionwise.evaluation.scores.bootstrap import resample_weights


def _slow(positive: np.ndarray, score: np.ndarray, threshold: float, weight: np.ndarray) -> float:
    true = sum(w for yes, s, w in zip(positive, score, weight, strict=True) if yes and s >= threshold)
    false = sum(w for yes, s, w in zip(positive, score, weight, strict=True) if not yes and s >= threshold)
    return float((true - false * threshold / (1 - threshold)) / weight.sum())


def test_the_net_benefit_is_that_of_counting(simulated: Simulated) -> None:
    table = decision_curve_table(simulated.y_true, simulated.y_prob, simulated.groups, resamples=20)
    weights = np.concatenate(list(resample_weights(simulated.groups, simulated.y_true, resamples=20)))
    ones = np.ones(len(simulated.y_true))
    for question, columns in (("melanoma", [4]), ("malignant", [0, 1, 4])):
        positive = np.isin(simulated.y_true, columns)
        score = simulated.y_prob[:, columns].sum(axis=1)
        for row in table[table["question"] == question].iloc[::20].to_dict("records"):
            at = row["threshold"]
            assert row["net_benefit"] == pytest.approx(_slow(positive, score, at, ones))
            assert row["everybody"] == pytest.approx(_slow(positive, ones, at, ones))
            drawn = [_slow(positive, score, at, weight) for weight in weights]
            assert (row["low"], row["high"]) == pytest.approx(
                tuple(np.quantile(drawn, [0.025, 0.975])), abs=1e-6
            )


def test_the_best_model_has_the_prevalence_and_nobody_has_nothing() -> None:
    y_true = np.array([4, 5, 5, 4])
    for asked, expected in ((y_true, 0.5), (np.full(4, 5), 0)):
        table = decision_curve_table(y_true, np.eye(7)[asked], np.arange(4), resamples=5)
        assert table["net_benefit"].to_numpy() == pytest.approx(np.full(len(table), expected))
        at_half = table[table["threshold"] == 0.5]
        assert at_half["everybody"].to_numpy() == pytest.approx([0, 0])
