import math

import numpy as np
import pytest

from evaluation.simulation import Simulated, simulate
from lesionwise.evaluation.calibration.conformal import fit_prediction_sets, rank
from lesionwise.evaluation.calibration.record import NO_PROMISE, PredictionSets
from lesionwise.evaluation.calibration.set_coverage import ALL, set_coverage_table, set_sizes
from lesionwise.labels import CODES


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
