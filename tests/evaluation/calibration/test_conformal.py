"""Limits of prediction sets: fitted as a slow loop would, and kept by lesions that are new."""

import math
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation.coverage import Model
from evaluation.simulation import Simulated, simulate
from lesionwise.evaluation.calibration.conformal import (
    ALL,
    fit_prediction_sets,
    largest_per_lesion,
    least_lesions,
    rank,
    set_coverage_table,
    set_sizes,
)
from lesionwise.evaluation.calibration.record import NO_PROMISE, PredictionSets, Rule, nonconformity
from lesionwise.labels import CODES


@given(lesions=st.integers(0, 2_000), percent=st.integers(50, 99))
def test_the_rank_is_that_of_exact_arithmetic(lesions: int, percent: int) -> None:
    assert rank(lesions, percent / 100) == math.ceil((lesions + 1) * Fraction(percent, 100))


@given(percent=st.integers(50, 99))
def test_one_lesion_less_than_the_least_allows_no_promise(percent: int) -> None:
    least = least_lesions(percent / 100)
    assert rank(least, percent / 100) <= least
    assert rank(least - 1, percent / 100) > least - 1


@pytest.mark.parametrize("rule", ["lac", "aps"])
@pytest.mark.parametrize("coverage", [0.8, 0.9])
def test_limits_are_those_of_a_slow_loop(rule: Rule, coverage: float, simulated: Simulated) -> None:
    sets = fit_prediction_sets(
        simulated.y_true, simulated.y_prob, simulated.groups, coverage=coverage, rule=rule
    )
    scores = nonconformity(simulated.y_prob, rule)
    for index, code in enumerate(CODES):
        worst: dict[str, float] = {}
        for truth, lesion, score in zip(simulated.y_true, simulated.groups, scores[:, index], strict=True):
            if truth == index:
                worst[lesion] = max(score, worst.get(lesion, 0.0))
        k = math.ceil(round((len(worst) + 1) * coverage, 9))
        expected = sorted(worst.values())[k - 1] if k <= len(worst) else NO_PROMISE
        assert sets.classes[code].quantile == expected
        assert sets.classes[code].lesions == len(worst)


@pytest.mark.parametrize("rule", ["lac", "aps"])
def test_the_set_of_an_image_does_not_depend_on_the_others_in_the_call(
    rule: Rule, simulated: Simulated
) -> None:
    sets = fit_prediction_sets(simulated.y_true, simulated.y_prob, simulated.groups, rule=rule)
    together = sets.contains(simulated.y_prob)
    assert together.sum(axis=1).max() > 1
    assert (np.concatenate([sets.contains(row[None]) for row in simulated.y_prob]) == together).all()


def test_a_diagnosis_with_too_few_lesions_gets_no_promise() -> None:
    y_true = np.array([0] * 8 + [1] * 9 + [2] * 20)
    y_prob = np.full((37, 7), 1 / 7)
    classes = fit_prediction_sets(y_true, y_prob, np.arange(37), coverage=0.9).classes
    assert classes["akiec"].quantile == NO_PROMISE
    assert not isinstance(classes["bcc"].quantile, str)
    assert (classes["df"].lesions, classes["df"].quantile) == (0, NO_PROMISE)
    photographs = np.repeat(np.arange(8), 5)  # five photographs of each are no more lesions
    many = fit_prediction_sets(np.zeros(40, int), np.full((40, 7), 1 / 7), photographs, coverage=0.9)
    assert many.classes["akiec"].quantile == NO_PROMISE


def test_the_strangest_photograph_speaks_for_its_lesion() -> None:
    assert largest_per_lesion(np.array([0.1, 0.9, 0.3, 0.2]), ["b", "a", "a", "b"]).tolist() == [0.9, 0.2]


def _covered(sets: PredictionSets, truth: np.ndarray, prob: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Part of the lesions of each diagnosis whose sets all hold it, shape (7,)."""
    held = pd.Series(sets.contains(prob)[np.arange(len(truth)), truth])
    by_lesion = held.groupby(groups).all()
    diagnosis = pd.Series(truth).groupby(groups).first()
    return by_lesion.groupby(diagnosis).mean().to_numpy()


@pytest.mark.parametrize("rule", ["lac", "aps"])
def test_new_lesions_are_covered_as_often_as_promised(rule: Rule) -> None:
    model, rng, trials = Model(skill=1.2), np.random.default_rng(0), 150
    lesions = dict.fromkeys(CODES, 12)
    covered, as_photographs = np.zeros(7), np.zeros(7)
    for _ in range(trials):
        sample = model.draw(lesions, rng)
        sets = fit_prediction_sets(*sample, coverage=0.9, rule=rule)
        naive = fit_prediction_sets(*sample[:2], np.arange(len(sample[0])), coverage=0.9, rule=rule)
        truth, prob, groups = model.draw(dict.fromkeys(CODES, 40), rng)
        covered += _covered(sets, truth, prob, groups)
        as_photographs += _covered(naive, truth, prob, groups)
    promised = rank(12, 0.9) / 13
    slack = 3 * np.sqrt(promised * (1 - promised) / (13 * trials))  # three deviations of the mean
    assert (covered / trials >= promised - slack).all()
    if rule == "lac":  # scores without ties: no more than promised either
        assert (covered / trials <= promised + slack).all()
        assert (as_photographs / trials).mean() < promised - 0.02  # why the lesion counts


@pytest.fixture(scope="module")
def sets() -> PredictionSets:
    sample = simulate(400, seed=5, digits=6)
    return fit_prediction_sets(sample.y_true, sample.y_prob, sample.groups)


def _chance(covered: int, lesions: int, k: int, fitted: int) -> float:
    """The beta-binomial as urns: of all orders of old and new scores, those with `covered` below the k-th."""
    below = math.comb(k - 1 + covered, covered)
    above = math.comb(fitted - k + lesions - covered, lesions - covered)
    return below * above / math.comb(fitted + lesions, lesions)


def test_lesions_are_counted_as_by_hand(sets: PredictionSets, simulated: Simulated) -> None:
    table = set_coverage_table(sets, simulated.y_true, simulated.y_prob, simulated.groups)
    inside = sets.contains(simulated.y_prob)
    for index, code in enumerate(CODES):
        mine = simulated.y_true == index
        kept = [
            inside[mine & (simulated.groups == lesion), index].all()
            for lesion in sorted(set(simulated.groups[mine]))
        ]
        (row,) = table[table["diagnosis"] == code].to_dict("records")
        assert (row["lesions"], row["covered"]) == (len(kept), sum(kept))
        assert row["coverage"] == pytest.approx(np.mean(kept))
    (together,) = table[table["diagnosis"] == ALL].to_dict("records")
    assert together["covered"] == table["covered"].iloc[:-1].sum()


def test_the_chances_are_those_of_urns(sets: PredictionSets, simulated: Simulated) -> None:
    table = set_coverage_table(sets, simulated.y_true, simulated.y_prob, simulated.groups)
    for row in table.iloc[:-1].to_dict("records"):
        k = rank(row["cal_lesions"], 0.9)
        chances = [
            _chance(count, row["lesions"], k, row["cal_lesions"]) for count in range(row["lesions"] + 1)
        ]
        assert sum(chances) == pytest.approx(1)
        assert row["p_value"] == pytest.approx(sum(chances[: row["covered"] + 1]))
        low, high = (round(row[side] * row["lesions"]) for side in ("low", "high"))
        assert sum(chances[:low]) < 0.025 <= sum(chances[: low + 1])
        assert sum(chances[:high]) < 0.975 <= sum(chances[: high + 1]) + 1e-12


def test_kept_promises_are_called_broken_one_time_in_forty_at_most() -> None:
    rng = np.random.default_rng(0)
    low, broken = [], 0
    for _ in range(300):
        fit, new = rng.dirichlet(np.ones(7), (70,)), rng.dirichlet(np.ones(7), (70,))
        truth = np.arange(70) % 7
        sets = fit_prediction_sets(truth, fit, np.arange(70))
        rows = set_coverage_table(sets, truth, new, np.arange(70)).to_dict("records")
        broken += rows[-1]["coverage"] < rows[-1]["low"]
        low.append(np.mean([row["coverage"] < row["low"] for row in rows[:-1]]))
    assert broken / 300 <= 0.045
    assert np.mean(low) <= 0.035


def test_a_promise_that_does_not_hold_is_found() -> None:
    fitted, other = simulate(600, seed=1, digits=6, skill=3), simulate(600, seed=2, digits=6, skill=1)
    sets = fit_prediction_sets(fitted.y_true, fitted.y_prob, fitted.groups)
    row = set_coverage_table(sets, other.y_true, other.y_prob, other.groups).to_dict("records")[-1]
    assert row["coverage"] < row["low"]
    assert row["p_value"] < 1e-6


def test_diagnoses_without_a_promise_are_not_judged(simulated: Simulated) -> None:
    classes: dict[str, dict[str, object]] = {code: {"lesions": 30, "quantile": 0.9} for code in CODES}
    classes["df"] = {"lesions": 6, "quantile": NO_PROMISE}
    sets = PredictionSets.model_validate({"rule": "lac", "coverage": 0.9, "classes": classes})
    table = set_coverage_table(sets, simulated.y_true, simulated.y_prob, simulated.groups)
    assert "df" not in set(table["diagnosis"])
    nothing = {code: {"lesions": 1, "quantile": NO_PROMISE} for code in CODES}
    empty = PredictionSets.model_validate({"rule": "lac", "coverage": 0.9, "classes": nothing})
    assert set_coverage_table(empty, simulated.y_true, simulated.y_prob, simulated.groups).empty
    assert set_sizes(empty, simulated.y_prob) == {"mean": 7, "mean_promised": 0, "single": 1}
    sizes = set_sizes(sets, simulated.y_prob)
    assert sizes["mean"] == pytest.approx(sizes["mean_promised"] + 1)
    counted = sets.contains(simulated.y_prob).sum(axis=1)
    assert sizes["single"] == pytest.approx(np.mean(counted <= 2))
