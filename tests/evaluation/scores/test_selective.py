import numpy as np
import pytest

from evaluation.simulation import Simulated, simulate
from lesionwise.evaluation.scores.bootstrap import resample_weights
from lesionwise.evaluation.scores.selective import aurc_loss, risk_coverage_table


def test_without_ties_the_area_is_the_mean_of_all_prefixes() -> None:
    sample = simulate(seed=3, digits=9)
    order = np.argsort(-sample.y_prob.max(axis=1), kind="stable")
    wrong = (sample.y_prob.argmax(axis=1) != sample.y_true)[order]
    risks = [wrong[: kept + 1].mean() for kept in range(len(wrong))]
    assert float(aurc_loss(sample.y_true, sample.y_prob)) == pytest.approx(np.mean(risks))


def test_a_confidence_that_says_nothing_has_the_error_rate() -> None:
    y_prob = np.tile([0.9, 0.1], (10, 1))
    assert float(aurc_loss([0] * 7 + [1] * 3, y_prob)) == pytest.approx(0.3)


def test_the_curve_is_that_of_a_slow_loop(simulated: Simulated) -> None:
    sample = simulated.y_true, simulated.y_prob, simulated.groups
    table = risk_coverage_table(*sample, resamples=40, seed=4)
    confidence = simulated.y_prob.max(axis=1)
    wrong = simulated.y_prob.argmax(axis=1) != simulated.y_true

    def error(answered: float, weight: np.ndarray) -> float:
        for level in sorted(set(confidence), reverse=True):
            kept = confidence >= level
            if weight[kept].sum() >= answered * weight.sum() - 1e-4:
                return float(np.average(wrong[kept], weights=weight[kept]))
        raise AssertionError

    ones = np.ones(len(wrong))
    assert table["error"].tolist() == pytest.approx([error(part, ones) for part in table["answered"]])
    assert table["error"].iloc[-1] == pytest.approx(wrong.mean())
    weights = np.concatenate(list(resample_weights(simulated.groups, simulated.y_true, resamples=40, seed=4)))
    for row in (table.iloc[10], table.iloc[60]):
        drawn = [error(row["answered"], weight) for weight in weights]
        assert (row["low"], row["high"]) == pytest.approx(tuple(np.quantile(drawn, [0.025, 0.975])), abs=1e-4)
