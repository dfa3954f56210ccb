import numpy as np
import pytest

from evaluation.simulation import Simulated
from lesionwise.evaluation.calibration.decision_curve import decision_curve_table, net_benefit
from lesionwise.evaluation.scores.bootstrap import resample_weights


def _slow(positive: np.ndarray, score: np.ndarray, threshold: float, weight: np.ndarray) -> float:
    true = sum(w for yes, s, w in zip(positive, score, weight, strict=True) if yes and s >= threshold)
    false = sum(w for yes, s, w in zip(positive, score, weight, strict=True) if not yes and s >= threshold)
    return float((true - false * threshold / (1 - threshold)) / weight.sum())


def test_the_net_benefit_is_that_of_counting(simulated: Simulated) -> None:
    table = decision_curve_table(simulated.y_true, simulated.y_prob, simulated.groups, resamples=20, seed=2)
    weights = np.concatenate(list(resample_weights(simulated.groups, simulated.y_true, resamples=20, seed=2)))
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
    positive = np.array([True, False, False, True])
    assert float(net_benefit(positive, positive.astype(float), 0.3)) == pytest.approx(0.5)
    assert float(net_benefit(positive, np.zeros(4), 0.3)) == 0
    assert float(net_benefit(positive, np.ones(4), 0.5)) == pytest.approx(0)
