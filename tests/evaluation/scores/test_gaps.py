import numpy as np
import pandas as pd
import pytest

from evaluation.simulation import Simulated, simulate
from lesionwise.evaluation.scores.bootstrap import simultaneous_estimates
from lesionwise.evaluation.scores.gaps import (
    ADJUSTED,
    accuracy_given_diagnosis_gap,
    describe_gaps,
    evaluate_gaps,
)
from lesionwise.evaluation.scores.subgroups import PHOTOGRAPHS, bands_of, evaluate_subgroups


def _sexes(sample: Simulated) -> pd.DataFrame:
    lesion = pd.Series(sample.groups).factorize()[0]
    return pd.DataFrame({"sex": np.where(lesion % 2 == 0, "female", "male")})


def test_no_gap_is_named_where_the_subgroups_are_alike() -> None:
    sample = simulate(300, seed=3)
    gaps = evaluate_gaps(sample.y_true, sample.y_prob, sample.groups, _sexes(sample), resamples=300)
    assert {row["column"] for row in gaps} == {"sex", PHOTOGRAPHS}
    assert not [row for row in gaps if row["column"] == "sex" and row["beyond_chance"]]


def test_a_subgroup_that_is_badly_served_is_named_with_both_scores() -> None:
    sample = simulate(300, seed=3, skill=3)
    table = _sexes(sample)
    male = (table["sex"] == "male").to_numpy()
    prob = sample.y_prob.copy()
    prob[male] = np.roll(prob[male], 1, axis=0)
    gaps = evaluate_gaps(sample.y_true, prob, sample.groups, table, resamples=300)
    clear = {(row["value"], row["score"]) for row in gaps if row["column"] == "sex" and row["beyond_chance"]}
    assert {("male", "accuracy"), ("male", ADJUSTED), ("female", "accuracy")} <= clear
    first, *rest = describe_gaps(gaps)
    assert f"{len(gaps)} gaps were tested" in first
    assert any(
        sentence.startswith("Lesions of male patients, compared with all others: ") for sentence in rest
    )


def test_a_harder_mix_of_diagnoses_is_told_from_worse_service() -> None:
    y_true = np.repeat([0, 5, 0, 5], [80, 20, 20, 80])  # one half holds more of what is never recognised
    prob = np.tile(np.eye(7)[5], (200, 1))
    inside, outside = np.arange(100), np.arange(100, 200)
    assert (y_true[inside] == 5).mean() - (y_true[outside] == 5).mean() == pytest.approx(-0.6)
    assert accuracy_given_diagnosis_gap(y_true, prob, inside, outside) == pytest.approx(0)
    weights = np.ones((3, 200))
    assert accuracy_given_diagnosis_gap(y_true, prob, inside, outside, weights) == pytest.approx(np.zeros(3))


def test_many_intervals_hold_at_once() -> None:
    rng = np.random.default_rng(0)
    held = []
    for _ in range(200):
        found = rng.normal(size=40)
        drawn = found + rng.normal(size=(500, 40))
        held.append(all(row.low <= 0 <= row.high for row in simultaneous_estimates(found, drawn)))
    assert 0.90 <= np.mean(held) <= 0.99


def test_what_moves_together_needs_no_wider_interval() -> None:
    rng = np.random.default_rng(0)
    one = rng.normal(size=(4000, 1))
    single = simultaneous_estimates([0.0], one)[0]
    same = simultaneous_estimates(np.zeros(30), np.tile(one, 30))[0]
    apart = simultaneous_estimates(np.zeros(30), rng.normal(size=(4000, 30)))[0]
    assert same.high == pytest.approx(single.high)
    assert single.high == pytest.approx(1.96, abs=0.1)
    assert apart.high == pytest.approx(3.1, abs=0.2)


def test_nothing_to_compare_gives_no_sentence() -> None:
    assert describe_gaps([]) == []
    assert evaluate_gaps([4, 5], np.eye(7)[[4, 5]], ["a", "b"], pd.DataFrame({"sex": ["male", "male"]})) == []


def test_skin_tones_fall_into_the_published_bands() -> None:
    angles = pd.Series([-60, -30, 9.9, 10, 28, 41, 54.9, 55, 90, np.nan])
    assert bands_of("skin_tone", angles).tolist() == [
        "dark", "brown", "brown", "tan", "intermediate", "light", "light", "very light", "very light",
        "unknown",
    ]  # fmt: skip


def test_photographs_are_counted_by_lesion() -> None:
    groups = np.repeat([f"L{number}" for number in range(30)], [1] * 10 + [2] * 10 + [4] * 10)
    y_true = np.arange(len(groups)) % 7
    rows = evaluate_subgroups(y_true, np.eye(7)[y_true], groups, pd.DataFrame(index=range(len(groups))))
    found = {row["value"]: (row["images"], row["lesions"]) for row in rows}
    assert found == {"1": (10, 10), "2": (20, 10), "3 or more": (40, 10)}
