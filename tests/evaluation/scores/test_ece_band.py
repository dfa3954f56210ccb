import numpy as np
import pytest

from evaluation.coverage import HAM10000_VAL, Model
from evaluation.simulation import Simulated
from lesionwise.evaluation.scores.probability import (
    EceBand,
    confidence_bins,
    ece_band,
    expected_calibration_error,
)


def test_the_band_is_that_of_a_slow_loop_with_photographs_of_a_lesion_together(simulated: Simulated) -> None:
    band = ece_band(simulated.y_true, simulated.y_prob, simulated.groups, resamples=4_000)
    confidence, bin_ = confidence_bins(simulated.y_prob)
    rng, names = np.random.default_rng(9), sorted(set(simulated.groups))
    errors = []
    for _ in range(1_500):
        number = dict(zip(names, rng.random(len(names)), strict=True))
        gaps = np.zeros(15)
        for lesion, stated, where in zip(simulated.groups, confidence, bin_, strict=True):
            gaps[where] += (number[lesion] < stated) - stated
        errors.append(np.abs(gaps).sum() / len(confidence))
    assert (band.low, band.high) == pytest.approx(tuple(np.quantile(errors, [0.025, 0.975])), abs=0.006)
    assert band.value == pytest.approx(float(expected_calibration_error(simulated.y_true, simulated.y_prob)))


def test_calibrated_models_lie_inside_and_oversure_ones_above() -> None:
    rng = np.random.default_rng(0)
    calibrated = [
        ece_band(*Model().draw(HAM10000_VAL, rng), resamples=300, seed=trial).verdict for trial in range(60)
    ]
    assert calibrated.count("above") <= 6  # one in forty, if photographs were as alike as the band takes them
    oversure = ece_band(*Model(sharpness=2).draw(HAM10000_VAL, rng), resamples=300)
    assert oversure.verdict == "above"


def test_apart_photographs_would_give_a_narrower_band(simulated: Simulated) -> None:
    y_true, y_prob, groups = (np.repeat(values, 3, axis=0) for values in vars(simulated).values())
    together = ece_band(y_true, y_prob, groups, resamples=400)
    apart = ece_band(y_true, y_prob, np.arange(len(y_true)), resamples=400)
    assert together.high > 1.3 * apart.high


def test_the_verdict_names_the_side() -> None:
    assert [EceBand(value, 0.02, 0.05).verdict for value in (0.01, 0.02, 0.05, 0.06)] == [
        "below", "inside", "inside", "above",
    ]  # fmt: skip
