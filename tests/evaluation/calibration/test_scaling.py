import numpy as np
import pytest
from scipy.optimize import minimize
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import log_loss

from evaluation.simulation import Simulated, simulate
from lesionwise.evaluation.calibration.record import softmax
from lesionwise.evaluation.calibration.scaling import (
    LARGEST,
    SMALLEST,
    fit_temperature,
    fit_vector,
    scaled_loss,
    stops_at_limit,
)
from lesionwise.evaluation.scores.weights import lesion_shares


def _logits(sample: Simulated, *, sharpness: float = 1.0) -> np.ndarray:
    return np.asarray(sharpness * np.log(sample.y_prob))


def _shares(sample: Simulated) -> np.ndarray:
    return np.array([1 / np.count_nonzero(sample.groups == own) for own in sample.groups])


def test_shares_of_a_lesion_add_up_to_one(simulated: Simulated) -> None:
    assert lesion_shares(simulated.groups) == pytest.approx(_shares(simulated))


@pytest.mark.parametrize("seed", range(3))
def test_no_temperature_of_a_fine_grid_is_better_by_scikit_learns_loss(seed: int) -> None:
    sample = simulate(seed=seed, sharpness=2.5, digits=6)
    logits, shares = _logits(sample), _shares(sample)

    def loss(temperature: float) -> float:
        return float(log_loss(sample.y_true, softmax(logits / temperature), sample_weight=shares))

    found = fit_temperature(sample.y_true, logits, sample.groups).temperature
    best = min(loss(value) for value in np.geomspace(found / 2, found * 2, 401))
    assert loss(found) <= best + 1e-9
    assert scaled_loss(sample.y_true, logits / found, shares) == pytest.approx(loss(found))


class _Network(ClassifierMixin, BaseEstimator):  # type: ignore[misc] # scikit-learn has no types
    """A fitted classifier whose inputs are its logits."""

    def fit(self, X: np.ndarray, y: np.ndarray) -> "_Network":  # noqa: ARG002, N803 (scikit-learn's names)
        self.classes_ = np.unique(y)
        return self

    def predict(self, X: np.ndarray) -> np.ndarray:  # noqa: N803 (the same)
        likeliest: np.ndarray = X.argmax(axis=1)
        return likeliest

    def decision_function(self, X: np.ndarray) -> np.ndarray:  # noqa: N803 (the same)
        return X


@pytest.mark.filterwarnings("ignore:Since FrozenEstimator does not appear")  # the weights are for calibrating
def test_the_probabilities_are_those_of_scikit_learns_temperature_scaling() -> None:
    sample, new = simulate(seed=1, sharpness=2.5, digits=6), simulate(seed=2, sharpness=2.5, digits=6)
    fitted = _Network().fit(_logits(sample), sample.y_true)
    theirs = CalibratedClassifierCV(FrozenEstimator(fitted), method="temperature", ensemble=False)
    theirs.fit(_logits(sample), sample.y_true, sample_weight=_shares(sample))
    ours = fit_temperature(sample.y_true, _logits(sample), sample.groups).probabilities(_logits(new))
    assert ours == pytest.approx(theirs.predict_proba(_logits(new)), abs=1e-5)


def test_the_temperature_that_was_put_in_is_found() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(scale=2, size=(20_000, 7))
    y_true = np.array([rng.choice(7, p=row) for row in softmax(logits)])
    found = fit_temperature(y_true, 3 * logits, np.arange(len(y_true)))
    assert found.temperature == pytest.approx(3, rel=0.04)


def test_copies_of_a_photograph_have_no_more_say(simulated: Simulated) -> None:
    copies = np.where(simulated.groups == simulated.groups[0], 50, 1)
    rows = np.repeat(np.arange(len(copies)), copies)
    logits = _logits(simulated, sharpness=2)
    once = fit_temperature(simulated.y_true, logits, simulated.groups)
    more = fit_temperature(simulated.y_true[rows], logits[rows], simulated.groups[rows])
    assert more.temperature == pytest.approx(once.temperature, rel=1e-5)


def test_a_model_that_is_always_right_gets_a_finite_temperature() -> None:
    y_true = np.arange(70) % 7
    assert fit_temperature(y_true, np.eye(7)[y_true], np.arange(70)).temperature == pytest.approx(SMALLEST)
    always_wrong = np.eye(7)[(y_true + 1) % 7]
    assert fit_temperature(y_true, always_wrong, np.arange(70)).temperature == pytest.approx(
        LARGEST, rel=1e-3
    )


@pytest.mark.parametrize("seed", range(2))
def test_vector_scaling_finds_what_a_search_without_slopes_finds(seed: int) -> None:
    sample = simulate(120, seed=seed, sharpness=2, digits=6)
    logits, shares = _logits(sample) + np.linspace(-1, 1, 7), _shares(sample)
    found = fit_vector(sample.y_true, logits, sample.groups)

    def loss(parameters: np.ndarray) -> float:
        prob = softmax(logits * parameters[:7] + parameters[7:])
        return float(-np.average(np.log(prob[np.arange(len(prob)), sample.y_true]), weights=shares))

    at = np.concatenate([found.factor, found.offset])
    start = np.concatenate([np.ones(7), np.zeros(7)])
    searched = minimize(loss, start, method="Powell", options={"maxiter": 40, "ftol": 1e-9})
    assert loss(at) == pytest.approx(searched.fun, abs=2e-4)
    assert loss(at) <= searched.fun + 1e-8
    assert found.offset.sum() == pytest.approx(0, abs=1e-9)


def test_vector_scaling_gives_rare_diagnoses_back_their_frequency(simulated: Simulated) -> None:
    logits = np.log(simulated.y_prob) - 2 * np.eye(7)[5]  # a model that was shown too few of index 5
    found = fit_vector(simulated.y_true, logits, simulated.groups)
    shares = _shares(simulated)
    stated = np.average(found.probabilities(logits), axis=0, weights=shares)
    true = np.average(np.eye(7)[simulated.y_true], axis=0, weights=shares)
    assert stated == pytest.approx(true, abs=1e-5)  # the slope of the offsets is 0 there and nowhere else
    temperature = fit_temperature(simulated.y_true, logits, simulated.groups)
    still = np.average(temperature.probabilities(logits), axis=0, weights=shares)
    assert still[5] < true[5] - 0.03


def test_vector_scaling_names_the_diagnoses_that_are_missing() -> None:
    with pytest.raises(ValueError, match=r"none of df, vasc\. Use temperature scaling"):
        fit_vector(np.array([0, 1, 2, 4, 5] * 12), np.zeros((60, 7)), np.arange(60))


def test_a_factor_that_was_stopped_is_told_from_one_that_was_found(simulated: Simulated) -> None:
    y_true = np.arange(70) % 7
    for logits in (np.eye(7)[y_true], np.eye(7)[(y_true + 1) % 7]):
        assert stops_at_limit(fit_temperature(y_true, logits, np.arange(70)))
        assert stops_at_limit(fit_vector(y_true, logits, np.arange(70)))
    assert not stops_at_limit(fit_temperature(simulated.y_true, _logits(simulated), simulated.groups))
    assert not stops_at_limit(fit_vector(simulated.y_true, _logits(simulated), simulated.groups))
