"""Every score against scikit-learn or a slow loop, plain and weighted, and what must hold for any sample."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import ArrayLike, NDArray
from sklearn import metrics

from evaluation.plain_scores import OVERALL, PER_CLASS, average_precision_per_class
from evaluation.simulation import CLASSES, Simulated, simulate
from lesionwise.evaluation.scores import decision as scores
from lesionwise.evaluation.scores import evaluate, probability, ranking
from lesionwise.evaluation.scores.evaluate import LOSSES

SCORES = {**OVERALL, **PER_CLASS}
Reference = Callable[..., Any]


def _decided(score: Reference, **options: object) -> Reference:
    def of(y_true: NDArray[np.int64], y_prob: NDArray[np.float64], weight: NDArray[np.float64]) -> Any:
        return score(y_true, y_prob.argmax(axis=1), sample_weight=weight, **options)

    return of


def _one_against_rest(score: Reference) -> Reference:
    def of(y_true: NDArray[np.int64], y_prob: NDArray[np.float64], weight: NDArray[np.float64]) -> Any:
        return [score(y_true == c, y_prob[:, c], sample_weight=weight) for c in range(CLASSES)]

    return of


def _mean(of: Reference) -> Reference:
    return lambda *arguments: np.mean(of(*arguments))


def _specificity(y_true: NDArray[np.int64], y_prob: NDArray[np.float64], weight: NDArray[np.float64]) -> Any:
    found = []
    for c in range(CLASSES):
        others = y_true != c
        found.append(np.average(y_prob[others].argmax(axis=1) != c, weights=weight[others]))
    return found


def _log_loss(y_true: NDArray[np.int64], y_prob: NDArray[np.float64], weight: NDArray[np.float64]) -> Any:
    return metrics.log_loss(y_true, y_prob, sample_weight=weight, labels=range(CLASSES))


def _brier(y_true: NDArray[np.int64], y_prob: NDArray[np.float64], weight: NDArray[np.float64]) -> Any:
    return metrics.brier_score_loss(
        y_true, y_prob, sample_weight=weight, labels=range(CLASSES), scale_by_half=False
    )


def _ece(y_true: NDArray[np.int64], y_prob: NDArray[np.float64], weight: NDArray[np.float64]) -> float:
    confidence = [max(row) for row in y_prob]
    edges = [-np.inf, *(np.quantile(confidence, k / 15) for k in range(1, 15)), np.inf]
    total = 0.0
    for low, high in pairwise(edges):
        inside = [i for i, value in enumerate(confidence) if low <= value < high]
        total += abs(sum(weight[i] * ((y_prob[i].argmax() == y_true[i]) - confidence[i]) for i in inside))
    return total / float(sum(weight))


def _aurc(y_true: NDArray[np.int64], y_prob: NDArray[np.float64], weight: NDArray[np.float64]) -> float:
    confidence, wrong = y_prob.max(axis=1), y_prob.argmax(axis=1) != y_true
    total = 0.0
    for own, counted in zip(confidence, weight, strict=True):
        as_sure = confidence >= own
        total += counted * sum(weight[as_sure] * wrong[as_sure]) / sum(weight[as_sure])
    return total / float(sum(weight))


_AVERAGED = {"zero_division": 0}
REFERENCES: dict[str, Reference] = {
    "accuracy": _decided(metrics.accuracy_score),
    "balanced_accuracy": _decided(metrics.balanced_accuracy_score),
    "macro_precision": _decided(metrics.precision_score, average="macro", **_AVERAGED),
    "macro_recall": _decided(metrics.recall_score, average="macro", **_AVERAGED),
    "macro_f1": _decided(metrics.f1_score, average="macro", **_AVERAGED),
    "weighted_precision": _decided(metrics.precision_score, average="weighted", **_AVERAGED),
    "weighted_recall": _decided(metrics.recall_score, average="weighted", **_AVERAGED),
    "weighted_f1": _decided(metrics.f1_score, average="weighted", **_AVERAGED),
    "macro_auc": _mean(_one_against_rest(metrics.roc_auc_score)),
    "macro_average_precision": _mean(_one_against_rest(metrics.average_precision_score)),
    "log_loss": _log_loss,
    "brier": _brier,
    "ece": _ece,
    "aurc": _aurc,
    "precision": _decided(metrics.precision_score, average=None, **_AVERAGED),
    "recall": _decided(metrics.recall_score, average=None, **_AVERAGED),
    "specificity": _specificity,
    "f1": _decided(metrics.f1_score, average=None, **_AVERAGED),
    "auc": _one_against_rest(metrics.roc_auc_score),
    "average_precision": _one_against_rest(metrics.average_precision_score),
}


def _counts(samples: int, resamples: int = 5) -> NDArray[np.float32]:
    """Weights that leave no class out: every sample counts at least a little."""
    halves = np.random.default_rng(1).integers(1, 5, size=(resamples, samples))
    return np.asarray(halves / 2, np.float32)


def test_every_score_has_a_reference() -> None:
    assert set(REFERENCES) == set(SCORES)
    assert (tuple(OVERALL), tuple(PER_CLASS)) == (evaluate.OVERALL, evaluate.PER_CLASS)


@pytest.mark.parametrize("name", SCORES)
@pytest.mark.parametrize("seed", [0, 1])
def test_a_score_equals_its_reference(name: str, seed: int) -> None:
    sample = simulate(seed=seed)
    expected = REFERENCES[name](sample.y_true, sample.y_prob, np.ones(len(sample.y_true)))
    assert SCORES[name](sample.y_true, sample.y_prob, None) == pytest.approx(np.asarray(expected), abs=1e-12)


@pytest.mark.parametrize("name", SCORES)
def test_a_weighted_score_equals_its_reference(name: str, simulated: Simulated) -> None:
    weights = _counts(len(simulated.y_true))
    found = SCORES[name](simulated.y_true, simulated.y_prob, weights)
    for row, value in zip(weights, found, strict=True):
        expected = REFERENCES[name](simulated.y_true, simulated.y_prob, row.astype(float))
        assert value == pytest.approx(np.asarray(expected), abs=2e-6)


@pytest.mark.parametrize("name", SCORES)
def test_weights_count_like_copies(name: str, simulated: Simulated) -> None:
    copies = np.random.default_rng(2).integers(1, 4, size=len(simulated.y_true))
    rows = np.repeat(np.arange(len(copies)), copies)
    if name == "ece":  # its bins are those of the sample; copies would move them
        pytest.skip("bins depend on the sample")
    weighted = SCORES[name](simulated.y_true, simulated.y_prob, copies[None].astype(np.float32))[0]
    copied = SCORES[name](simulated.y_true[rows], simulated.y_prob[rows], None)
    assert weighted == pytest.approx(copied, abs=2e-6)


@pytest.mark.parametrize("name", SCORES)
@given(seed=st.integers(0, 10_000))
def test_the_order_of_images_does_not_matter(name: str, seed: int) -> None:
    sample = simulate(40, seed=seed)
    order = np.random.default_rng(seed).permutation(len(sample.y_true))
    shuffled = SCORES[name](sample.y_true[order], sample.y_prob[order], None)
    assert shuffled == pytest.approx(SCORES[name](sample.y_true, sample.y_prob, None), abs=1e-12)


@pytest.mark.parametrize("name", SCORES)
@given(seed=st.integers(0, 10_000), skill=st.floats(0, 8))
def test_scores_stay_in_their_range(name: str, seed: int, skill: float) -> None:
    sample = simulate(40, seed=seed, skill=skill)
    value = SCORES[name](sample.y_true, sample.y_prob, None)
    greatest = {"log_loss": -np.log(np.finfo(float).eps), "brier": 2}.get(name, 1)
    assert ((value >= 0) & (value <= greatest + 1e-12)).all()


@pytest.mark.parametrize("name", SCORES)
def test_a_perfect_model_has_the_best_score(name: str) -> None:
    y_true = np.arange(21) % CLASSES
    best = 0 if name in LOSSES else 1
    assert np.allclose(SCORES[name](y_true, np.eye(CLASSES)[y_true], None), best)


@given(seed=st.integers(0, 10_000))
def test_the_area_depends_on_the_order_of_scores_alone(seed: int) -> None:
    sample = simulate(40, seed=seed)
    ranks = np.unique(sample.y_prob, return_inverse=True)[1].reshape(sample.y_prob.shape)
    expected = ranking.auc_per_class(sample.y_true, sample.y_prob)
    assert ranking.auc_per_class(sample.y_true, ranks) == pytest.approx(expected, abs=1e-12)


def test_the_area_of_a_constant_answer_is_half() -> None:
    assert ranking.auc_per_class([0, 1, 1], np.full((3, 2), 0.5)) == pytest.approx([0.5, 0.5])


def test_average_precision_of_a_constant_answer_is_the_prevalence() -> None:
    assert average_precision_per_class([0, 1, 1, 1], np.full((4, 2), 0.5)) == pytest.approx([0.25, 0.75])


def test_area_and_precision_of_an_absent_class_are_not_numbers() -> None:
    y_prob = np.array([[0.5, 0.3, 0.2], [0.1, 0.8, 0.1]])
    assert np.isnan(ranking.auc_per_class([0, 1], y_prob)).tolist() == [False, False, True]
    assert np.isnan(average_precision_per_class([0, 1], y_prob)).tolist() == [False, False, True]
    assert np.isnan(ranking.auc_per_class([0, 0], y_prob)[0])  # nothing to tell it from


def test_one_question_has_the_area_of_its_class(simulated: Simulated) -> None:
    one = ranking.binary_auc_score(simulated.y_true == 4, simulated.y_prob[:, 4])
    assert one == pytest.approx(ranking.auc_per_class(simulated.y_true, simulated.y_prob)[4])
    assert np.isnan(ranking.binary_auc_score([True, True], [0.1, 0.2]))


def test_balanced_accuracy_refuses_a_class_without_samples() -> None:
    with pytest.raises(ValueError, match="its recall is undefined"):
        scores.balanced_accuracy_score([0, 0], [[0.9, 0.1], [0.2, 0.8]])


def test_classes_never_called_or_absent_count_nought() -> None:
    y_true, y_prob = [0, 0, 1], np.array([[0.8, 0.2, 0.0]] * 3)
    assert PER_CLASS["precision"](y_true, y_prob, None) == pytest.approx([2 / 3, 0, 0])
    assert scores.recall_per_class(y_true, y_prob) == pytest.approx([1, 0, 0])
    assert PER_CLASS["f1"](y_true, y_prob, None) == pytest.approx([0.8, 0, 0])
    assert PER_CLASS["specificity"](y_true, y_prob, None) == pytest.approx([0, 1, 1])
    assert PER_CLASS["specificity"]([0, 0, 0], y_prob, None)[0] == 0


def test_the_confusion_matrix_has_true_classes_as_rows() -> None:
    y_prob = np.eye(3)[[0, 1, 1, 2]]
    assert scores.confusion_matrix([0, 0, 1, 2], y_prob).tolist() == [[1, 1, 0], [0, 1, 0], [0, 0, 1]]
    doubled = scores.confusion_matrix([0, 0, 1, 2], y_prob, [[1, 2, 3, 4]])
    assert doubled.tolist() == [[[1, 2, 0], [0, 3, 0], [0, 0, 4]]]


def test_a_certain_wrong_answer_costs_what_scikit_learn_says_it_costs() -> None:
    assert probability.log_loss([0], [[0.0, 1.0]]) == pytest.approx(-np.log(np.finfo(float).eps))


@pytest.mark.parametrize("kind", [np.float64, np.float32, np.float16])
def test_a_certain_wrong_answer_costs_the_same_in_every_precision(kind: type[np.floating[Any]]) -> None:
    cost = probability.log_loss([0], np.array([[0, 1]], dtype=kind))
    assert cost == pytest.approx(-np.log(np.finfo(float).eps))  # scikit-learn's falls to 7 in float16


def test_equal_confidences_share_a_bin() -> None:
    y_prob = np.array([[0.9, 0.1]] * 10)
    assert probability.expected_calibration_error([0] * 9 + [1], y_prob) == pytest.approx(0, abs=1e-12)
    assert len(set(probability.confidence_bins(y_prob)[1])) == 1


@pytest.mark.parametrize("bins", [4, 15])
def test_bins_hold_the_same_number_of_images(bins: int) -> None:
    y_prob = np.random.default_rng(0).dirichlet(np.ones(7), size=bins * 20)
    confidence, bin_ = probability.confidence_bins(y_prob, bins)
    assert np.bincount(bin_).tolist() == [20] * bins
    assert (np.diff(bin_[np.argsort(confidence)]) >= 0).all()


@pytest.mark.parametrize(
    ("y_true", "y_prob", "message"),
    [
        ([0, 1], [[0.5, 0.5]], r"Expected y_true \(N,\) and y_prob \(N, C\) but got \(2,\) and \(1, 2\)"),
        ([0], [0.5], r"but got \(1,\) and \(1,\)"),
        ([], np.empty((0, 2)), "at least one sample but got none"),
        ([2], [[0.5, 0.5]], r"in \[0, 2\) but got 2 to 2"),
        ([-1], [[0.5, 0.5]], r"in \[0, 2\) but got -1 to -1"),
        ([0, 1], [[0.5, 0.5], [np.nan, 1]], "finite numbers in y_prob but row 1 is not"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(y_true: ArrayLike, y_prob: ArrayLike, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        scores.accuracy_score(y_true, y_prob)


@pytest.mark.parametrize("loss", [probability.log_loss, probability.brier_loss, probability.calibration_gaps])
@pytest.mark.parametrize("row", [[0.5, 0.4], [1.2, -0.2], [0.502, 0.5]])
def test_losses_refuse_rows_that_are_no_distribution(loss: Reference, row: list[float]) -> None:
    with pytest.raises(ValueError, match="sum to 1 but row 1 sums to"):
        loss([0, 1], [[0.5, 0.5], row])


def test_four_written_decimals_are_near_enough() -> None:
    assert probability.brier_loss([0], [[0.5004, 0.5]]) == pytest.approx(0.4996**2 + 0.25)
