"""Limits of prediction sets: fitted as a slow loop would, and kept by lesions that are new."""

import math
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation.coverage import Model
from evaluation.simulation import Simulated
from lesionwise.evaluation.calibration.conformal import fit_prediction_sets, least_lesions, rank, strangest
from lesionwise.evaluation.calibration.record import NO_PROMISE, PredictionSets, Rule, strangeness
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
    scores = strangeness(simulated.y_prob, rule)
    for index, code in enumerate(CODES):
        worst: dict[str, float] = {}
        for truth, lesion, score in zip(simulated.y_true, simulated.groups, scores[:, index], strict=True):
            if truth == index:
                worst[lesion] = max(score, worst.get(lesion, 0.0))
        k = math.ceil(round((len(worst) + 1) * coverage, 9))
        expected = sorted(worst.values())[k - 1] if k <= len(worst) else NO_PROMISE
        assert sets.classes[code].quantile == expected
        assert sets.classes[code].lesions == len(worst)


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
    assert strangest(np.array([0.1, 0.9, 0.3, 0.2]), ["b", "a", "a", "b"]).tolist() == [0.9, 0.2]


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
