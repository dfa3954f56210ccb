import numpy as np
import pytest
from sklearn import metrics

from evaluation.plain_scores import aurc_loss
from evaluation.simulation import Simulated, simulate
from lesionwise.evaluation.scores.bootstrap import resample_weights
from lesionwise.evaluation.scores.curves import (
    precision_recall_table,
    reliability_table,
    risk_coverage_table,
    roc_table,
)
from lesionwise.evaluation.scores.probability import confidence_bins, expected_calibration_error
from lesionwise.labels import CODES


@pytest.mark.parametrize("digits", [1, 6])  # with ties and without
@pytest.mark.parametrize("index", [0, 4])
def test_the_roc_is_that_of_scikit_learn(digits: int, index: int) -> None:
    sample = simulate(seed=2, digits=digits)
    table = roc_table(sample.y_true, sample.y_prob, sample.groups, resamples=20)
    curve = table[table["diagnosis"] == CODES[index]]
    wrong, right, _ = metrics.roc_curve(
        sample.y_true == index, sample.y_prob[:, index], drop_intermediate=False
    )
    expected = np.interp(curve["false_positive_rate"], wrong, right)
    assert curve["sensitivity"].to_numpy() == pytest.approx(expected)
    assert (curve["low"] <= curve["high"]).all()
    assert curve["sensitivity"].is_monotonic_increasing


@pytest.mark.parametrize("digits", [1, 6])
def test_precision_is_that_of_the_highest_threshold_that_reaches_the_recall(digits: int) -> None:
    sample = simulate(seed=2, digits=digits)
    table = precision_recall_table(sample.y_true, sample.y_prob, sample.groups, resamples=20)
    positive, score = sample.y_true == 4, sample.y_prob[:, 4]
    for _, point in table[(table["diagnosis"] == "mel") & (table["recall"] > 0)].iterrows():
        for threshold in sorted(set(score), reverse=True):
            called = score >= threshold
            if called[positive].mean() >= point["recall"] - 1e-9:
                assert point["precision"] == pytest.approx(positive[called].mean())
                break


def test_curves_hold_every_diagnosis_over_the_whole_range(simulated: Simulated) -> None:
    for table_of, axis in ((roc_table, "false_positive_rate"), (precision_recall_table, "recall")):
        table = table_of(simulated.y_true, simulated.y_prob, simulated.groups, resamples=40)
        assert list(dict.fromkeys(table["diagnosis"])) == list(CODES)
        assert table[axis].to_numpy() == pytest.approx(np.tile(np.linspace(0, 1, 101), 7))
        inside = (table.iloc[:, 2] >= table["low"] - 1e-6) & (table.iloc[:, 2] <= table["high"] + 1e-6)
        assert inside.mean() > 0.9
        again = table_of(simulated.y_true, simulated.y_prob, simulated.groups, resamples=40)
        assert table.equals(again)


def test_precision_of_a_first_alarm_that_is_false_is_not_nought() -> None:
    y_true = np.array([1, 0, 0, 1])
    y_prob = np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.1, 0.9]])
    table = precision_recall_table(y_true, y_prob, np.arange(4), resamples=5)
    first = table[(table["diagnosis"] == CODES[0]) & (table["recall"] == 0)]["precision"].item()
    assert first == pytest.approx(1 / 2)


def test_reliability_is_counted_by_bin(simulated: Simulated) -> None:
    table = reliability_table(simulated.y_true, simulated.y_prob, simulated.groups, bins=5, resamples=100)
    assert table["images"].sum() == len(simulated.y_true)
    assert np.ptp(table["images"]) <= 8  # ties share a bin
    gap = (table["images"] * (table["accuracy"] - table["confidence"]).abs()).sum() / table["images"].sum()
    plain = expected_calibration_error(simulated.y_true, simulated.y_prob, bins=5)
    assert gap == pytest.approx(float(plain))
    assert ((table["low"] <= table["accuracy"]) & (table["accuracy"] <= table["high"])).all()
    assert table["confidence"].is_monotonic_increasing


def test_empty_bins_are_left_out() -> None:
    y_prob = np.tile([0.9, 0.1], (10, 1))
    table = reliability_table([0] * 8 + [1] * 2, y_prob, np.arange(10), resamples=50)
    assert table["images"].tolist() == [10]
    assert table["accuracy"].tolist() == [0.8]


def test_intervals_of_reliability_are_those_of_resampled_lesions(simulated: Simulated) -> None:
    sample = simulated.y_true, simulated.y_prob, simulated.groups
    table = reliability_table(*sample, bins=4, resamples=60)
    _, bin_ = confidence_bins(simulated.y_prob, 4)
    right = simulated.y_prob.argmax(axis=1) == simulated.y_true
    weights = np.concatenate(list(resample_weights(simulated.groups, simulated.y_true, resamples=60)))
    for number, (_, row) in enumerate(table.iterrows()):
        inside = bin_ == number
        drawn = [np.average(right[inside], weights=weight[inside]) for weight in weights]
        assert (row["low"], row["high"]) == pytest.approx(tuple(np.quantile(drawn, [0.025, 0.975])), abs=1e-6)


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
    table = risk_coverage_table(*sample, resamples=40)
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
    weights = np.concatenate(list(resample_weights(simulated.groups, simulated.y_true, resamples=40)))
    for row in (table.iloc[10], table.iloc[60]):
        drawn = [error(row["answered"], weight) for weight in weights]
        assert (row["low"], row["high"]) == pytest.approx(tuple(np.quantile(drawn, [0.025, 0.975])), abs=1e-4)
