from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit, logit
from scipy.stats import t as student_t

from evaluation.simulation import Simulated
from lesionwise.evaluation.calibration.decision_curve import decision_curve_table
from lesionwise.evaluation.scores import bootstrap
from lesionwise.evaluation.scores.bootstrap import (
    Cells,
    Estimate,
    draw_sums,
    effective_lesions,
    fraction_estimate,
    percentile_interval,
    resample_weights,
)
from lesionwise.evaluation.scores.curves import (
    precision_recall_table,
    reliability_table,
    risk_coverage_table,
    roc_table,
)
from lesionwise.evaluation.scores.evaluate import draw_all, score_all


def _all(simulated: Simulated, **options: int) -> np.ndarray:
    return np.concatenate(list(resample_weights(simulated.groups, simulated.y_true, **options)))


def test_photographs_of_a_lesion_are_drawn_together(simulated: Simulated) -> None:
    weights = _all(simulated, resamples=50)
    for lesion in np.unique(simulated.groups):
        drawn = weights[:, simulated.groups == lesion]
        assert (drawn == drawn[:, :1]).all()


def test_every_diagnosis_keeps_its_number_of_lesions(simulated: Simulated) -> None:
    weights = _all(simulated, resamples=50)
    _, first = np.unique(simulated.groups, return_index=True)
    for diagnosis in range(7):
        members = first[simulated.y_true[first] == diagnosis]
        assert weights[:, members].sum(axis=1) == pytest.approx(np.full(50, len(members)), rel=1e-5)


def test_one_lesion_fewer_is_drawn_than_there_are() -> None:
    weights = np.concatenate(list(resample_weights(np.arange(5), np.zeros(5, int), resamples=400)))
    counts = weights * 4 / 5
    assert counts == pytest.approx(counts.round())
    assert counts.sum(axis=1) == pytest.approx(np.full(400, 4))
    assert set(counts.round().ravel()) == {0, 1, 2, 3, 4}
    assert weights.mean(axis=0) == pytest.approx(np.ones(5), abs=0.15)


def test_the_spread_is_that_of_a_sample_and_not_too_narrow() -> None:
    values = np.random.default_rng(0).normal(size=6)
    weights = np.concatenate(list(resample_weights(np.arange(6), np.zeros(6, int), resamples=20_000)))
    spread = (weights @ values / weights.sum(axis=1)).std()
    assert spread == pytest.approx(values.std(ddof=1) / np.sqrt(6), rel=0.03)


def test_a_lone_lesion_is_always_there() -> None:
    groups, y_true = ["a", "b", "b", "c", "c"], [0, 1, 1, 1, 2]  # c was given two diagnoses
    weights = np.concatenate(list(resample_weights(groups, y_true, resamples=30)))
    assert (weights == 1).all()


def test_the_same_seed_draws_the_same(simulated: Simulated) -> None:
    assert (_all(simulated, resamples=20, seed=3) == _all(simulated, resamples=20, seed=3)).all()
    assert (_all(simulated, resamples=20, seed=3) != _all(simulated, resamples=20, seed=4)).any()


def test_blocks_are_small_and_make_up_all_resamples(
    simulated: Simulated, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bootstrap, "_BLOCK_BYTES", 4 * len(simulated.y_true) * 8)
    blocks = list(resample_weights(simulated.groups, simulated.y_true, resamples=20))
    assert [block.shape for block in blocks] == [(rows, len(simulated.y_true)) for rows in (8, 8, 4)]
    assert blocks[0].dtype == np.float32
    monkeypatch.setattr(bootstrap, "_BLOCK_BYTES", 1)
    assert len(list(resample_weights(simulated.groups, simulated.y_true, resamples=3))) == 3


@given(st.lists(st.floats(-5, 5), min_size=40, max_size=80), st.floats(0.5, 0.99))
def test_the_interval_holds_the_middle(values: list[float], level: float) -> None:
    low, high = percentile_interval(values, level)
    assert low <= np.median(values) <= high
    assert (low, high) == pytest.approx(
        (np.quantile(values, 0.5 - level / 2), np.quantile(values, 0.5 + level / 2))
    )


def test_the_interval_is_taken_by_column_at_95_percent() -> None:
    values = np.stack([np.arange(101.0), 2 * np.arange(101.0)], axis=1)
    low, high = percentile_interval(values)
    assert (*low, *high) == pytest.approx((2.5, 5.0, 97.5, 195.0))


def test_an_estimate_reads_as_value_and_interval() -> None:
    assert str(Estimate(0.5, 0.4, 0.6123)) == "0.500 (0.400 to 0.612)"


@pytest.mark.parametrize("lesions", [2, 10, 300])
def test_a_fraction_of_none_or_all_takes_its_exact_bounds(lesions: int) -> None:
    whole = fraction_estimate(1, np.ones(5), lesions)
    assert (whole.value, whole.high) == (1, 1)
    assert whole.low**lesions == pytest.approx(0.025)
    none = fraction_estimate(0, np.zeros(5), lesions)
    assert (none.value, none.low) == (0, 0)
    assert none.high == pytest.approx(1 - whole.low)
    assert fraction_estimate(1, np.ones(5), lesions, 0.5).low ** lesions == pytest.approx(0.25)


@pytest.mark.parametrize("lesions", [0, 1])
def test_of_a_single_lesion_nothing_is_known(lesions: int) -> None:
    assert fraction_estimate(0.5, np.array([0.5, 0.5]), lesions) == Estimate(0.5, 0, 1)


def test_a_fraction_has_a_logit_interval_as_wide_as_student_asks() -> None:
    drawn = np.random.default_rng(0).normal(0.8, 0.01, size=2000)
    low, high = logit([0.8 - 1e-9, 0.8]) + student_t.ppf([0.025, 0.975], 6) * drawn.std() / (0.8 * 0.2)
    found = fraction_estimate(0.8, drawn, 7)
    assert (found.low, found.high) == pytest.approx((expit(low), expit(high)))
    many = fraction_estimate(0.8, drawn, 100_000)
    assert (many.low, many.high) == pytest.approx((0.8 - 0.0196, 0.8 + 0.0196), abs=0.002)
    narrow = fraction_estimate(0.8, drawn, 7, 0.5)
    assert found.low < narrow.low < 0.8 < narrow.high < found.high


@given(st.floats(0.001, 0.999), st.integers(2, 50), st.floats(0, 0.3))
def test_a_fraction_stays_a_fraction(value: float, lesions: int, spread: float) -> None:
    found = fraction_estimate(value, [value - spread, value + spread], lesions)
    assert 0 <= found.low <= value + 1e-12
    assert value - 1e-12 <= found.high <= 1


def test_a_mean_rests_on_the_class_that_makes_its_doubt() -> None:
    rng = np.random.default_rng(0)
    drawn = rng.normal(size=(5000, 2)) * [1, 1e-6]
    assert effective_lesions(drawn, [5, 1000]) == pytest.approx(5)
    assert effective_lesions(rng.normal(size=(50_000, 2)), [11, 11]) == pytest.approx(21, rel=0.02)
    assert effective_lesions(np.zeros((5, 2)), [4, 9]) == 4
    assert effective_lesions(drawn, [1, 1000]) == pytest.approx(2)


def test_sums_are_those_of_the_weights_of_each_image(simulated: Simulated) -> None:
    cell = simulated.y_prob.argmax(axis=1)
    value = simulated.y_prob.max(axis=1)
    table = {"count": Cells(cell, 7), "value": Cells(cell, 7, value)}
    blocks = list(draw_sums(table, simulated.groups, simulated.y_true, resamples=30, seed=3))
    weights = np.concatenate(list(resample_weights(simulated.groups, simulated.y_true, resamples=30, seed=3)))
    for name, values in (("count", np.ones(len(cell))), ("value", value)):
        found = np.concatenate([block[name] for block in blocks])
        for index in range(7):
            expected = weights[:, cell == index] @ values[cell == index]
            assert found[:, index] == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(
    ("curve", "value"),
    [
        (roc_table, "sensitivity"),
        (precision_recall_table, "precision"),
        (reliability_table, "accuracy"),
        (risk_coverage_table, "error"),
        (decision_curve_table, "net_benefit"),
    ],
)
def test_the_bands_of_many_images_are_those_of_few_and_cost_no_more(
    simulated: Simulated, monkeypatch: pytest.MonkeyPatch, curve: Callable[..., pd.DataFrame], value: str
) -> None:
    sample = simulated.y_true, simulated.y_prob, simulated.groups
    few = curve(*sample)
    drawn: list[int] = []
    counts = bootstrap.resample_counts

    def note(unit: np.ndarray, *given: object, **named: object) -> object:
        drawn.append(int(unit.max()) + 1)
        return counts(unit, *given, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(bootstrap, "MANY", 100)
    monkeypatch.setattr(bootstrap, "MOST_UNITS", 60)
    monkeypatch.setattr(bootstrap, "resample_counts", note)
    many = curve(*sample)
    assert len(drawn) == 1
    assert drawn[0] <= 7 * 60
    assert (many[value] == few[value]).all()  # the curve itself is exact
    width = (few["high"] - few["low"]).mean()
    assert (many["high"] - many["low"]).mean() == pytest.approx(width, rel=0.15)


def test_the_bands_of_a_rare_class_among_many_images_hold_its_curves() -> None:
    rng = np.random.default_rng(0)
    images = bootstrap.MANY + 1000
    truth = (rng.random(images) > 0.002).astype(int)
    rare = 1 / (1 + np.exp(rng.normal(size=images) + 4 * truth))
    prob = np.stack([rare, 1 - rare, np.zeros(images)], axis=1)  # the third class has no image
    lesion = np.arange(images)
    for curve, value in ((roc_table, "sensitivity"), (precision_recall_table, "precision")):
        table = curve(truth, prob, lesion, resamples=50)
        assert len(table) == 2 * 101
        assert table[value].between(table["low"] - 1e-6, table["high"] + 1e-6).all()
    found = score_all(truth, prob)["average_precision"][:2]
    drawn = draw_all(truth, prob, lesion, resamples=50, seed=0)["average_precision"][:, :2]
    assert (np.abs(drawn.mean(axis=0) - found) < drawn.std(axis=0)).all()
