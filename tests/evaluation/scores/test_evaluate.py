import json
from typing import Any

import numpy as np
import pytest
from sklearn import metrics

from evaluation.plain_scores import OVERALL, PER_CLASS
from evaluation.simulation import Simulated, simulate
from lesionwise import evaluate
from lesionwise.evaluation.scores import bootstrap
from lesionwise.evaluation.scores.bootstrap import effective_lesions, fraction_estimate
from lesionwise.evaluation.scores.evaluate import (
    MEANS,
    Evaluation,
    draw_scores,
)
from lesionwise.evaluation.scores.probability import (
    calibration_estimate,
    calibration_gaps,
    expected_calibration_error,
)
from lesionwise.labels import CODES


@pytest.fixture(scope="module")
def evaluation(simulated: Simulated) -> Evaluation:
    return evaluate(simulated.y_true, simulated.y_prob, simulated.groups, resamples=400)


def test_every_score_has_a_value_inside_its_interval(evaluation: Evaluation) -> None:
    assert set(evaluation.overall) == set(OVERALL)
    assert list(evaluation.per_class) == list(CODES)
    assert all(set(scores) == set(PER_CLASS) for scores in evaluation.per_class.values())
    by_class = [estimate for scores in evaluation.per_class.values() for estimate in scores.values()]
    for estimate in (*evaluation.overall.values(), *by_class):
        assert estimate.low <= estimate.value <= estimate.high
        assert estimate.low < estimate.high


def test_values_are_those_of_the_scores(simulated: Simulated, evaluation: Evaluation) -> None:
    for name, score in OVERALL.items():
        if name != "ece":
            expected = score(simulated.y_true, simulated.y_prob, None)
            assert evaluation.overall[name].value == pytest.approx(float(expected))
    for name, score in PER_CLASS.items():
        expected = score(simulated.y_true, simulated.y_prob, None)
        found = [evaluation.per_class[code][name].value for code in CODES]
        assert found == pytest.approx(expected.tolist())


def test_counts_are_those_of_the_sample(simulated: Simulated, evaluation: Evaluation) -> None:
    assert evaluation.images == len(simulated.y_true)
    assert evaluation.lesions == 140
    assert [evaluation.support[code] for code in CODES] == np.bincount(simulated.y_true).tolist()
    assert np.sum(evaluation.confusion, axis=1).tolist() == list(evaluation.support.values())
    assert evaluation.resampled_by == "lesion"


def test_intervals_are_read_off_resampled_scores(simulated: Simulated, evaluation: Evaluation) -> None:
    drawn = draw_scores(
        {"accuracy": OVERALL["accuracy"], "f1": PER_CLASS["f1"]},
        simulated.y_true,
        simulated.y_prob,
        simulated.groups,
        resamples=400,
    )
    low, high = np.quantile(drawn["accuracy"], [0.025, 0.975])
    accuracy = evaluation.overall["accuracy"]
    assert (accuracy.low, accuracy.high) == pytest.approx((low, high))
    few = evaluation.per_class["df"]["f1"]
    lesions = len(np.unique(simulated.groups[simulated.y_true == 3]))
    expected = fraction_estimate(few.value, drawn["f1"][:, 3], lesions)
    assert (few.low, few.high) == pytest.approx((expected.low, expected.high), abs=1e-6)
    assert drawn["f1"].shape == (400, 7)


def test_the_seed_decides_the_interval(simulated: Simulated, evaluation: Evaluation) -> None:
    def again(seed: int) -> Evaluation:
        return evaluate(simulated.y_true, simulated.y_prob, simulated.groups, resamples=400, seed=seed)

    assert again(0) == evaluation
    assert again(1).overall["accuracy"].low != evaluation.overall["accuracy"].low


def test_photographs_of_a_lesion_widen_the_interval() -> None:
    sample = simulate(70, seed=1)
    rows = np.repeat(np.arange(len(sample.y_true)), 5)
    y_true, y_prob, groups = sample.y_true[rows], sample.y_prob[rows], sample.groups[rows]
    by_lesion = evaluate(y_true, y_prob, groups, resamples=300).overall["accuracy"]
    by_image = evaluate(y_true, y_prob, np.arange(len(rows)), resamples=300).overall["accuracy"]
    assert by_lesion.high - by_lesion.low > 2 * (by_image.high - by_image.low)


def test_the_baseline_knows_frequencies_alone(simulated: Simulated, evaluation: Evaluation) -> None:
    frequency = np.bincount(simulated.y_true) / len(simulated.y_true)
    expected = {
        "accuracy": frequency.max(),
        "balanced_accuracy": 1 / 7,
        "macro_auc": 0.5,
        "macro_average_precision": 1 / 7,
        "log_loss": -(frequency * np.log(frequency)).sum(),
        "brier": 1 - (frequency**2).sum(),
        "ece": 0,
    }
    found = {name: evaluation.baseline[name] for name in expected}
    assert found == pytest.approx(expected, abs=1e-9)
    assert set(evaluation.baseline) == set(OVERALL)


def test_json_gives_the_evaluation_back(evaluation: Evaluation) -> None:
    text = json.dumps(evaluation.to_json(), allow_nan=False)
    assert Evaluation.from_json(json.loads(text)) == evaluation


def test_scores_files_without_the_later_fields_are_read(evaluation: Evaluation) -> None:
    value = evaluation.to_json()
    del value["subgroups"], value["resampled_by"]
    assert Evaluation.from_json(value) == evaluation


def test_a_perfect_model_is_not_taken_for_certain() -> None:
    y_true = np.repeat(np.arange(7), 20)
    groups = np.arange(140) // 2  # ten lesions of each
    evaluation = evaluate(y_true, np.eye(7)[y_true], groups, resamples=50)
    for name in ("recall", "precision"):
        melanoma = evaluation.per_class["mel"][name]
        assert (melanoma.value, melanoma.high) == (1, 1)
        assert melanoma.low == pytest.approx(0.025 ** (1 / 10))
    assert evaluation.per_class["mel"]["specificity"].low == pytest.approx(0.025 ** (1 / 60))


def test_a_model_that_never_finds_a_class_is_not_taken_for_hopeless() -> None:
    y_true = np.repeat(np.arange(7), 20)
    y_prob = np.eye(7)[np.where(y_true == 4, 5, y_true)]
    evaluation = evaluate(y_true, y_prob, np.arange(140) // 2, resamples=50)
    assert evaluation.per_class["mel"]["recall"].low == 0
    assert evaluation.per_class["mel"]["recall"].high == pytest.approx(1 - 0.025 ** (1 / 10))
    assert evaluation.per_class["mel"]["precision"].high == 1  # it was never said: nothing is known


def test_means_over_classes_are_as_doubtful_as_their_rarest_class(
    simulated: Simulated, evaluation: Evaluation
) -> None:
    drawn = draw_scores(
        {name: {**OVERALL, **PER_CLASS}[name] for name in (*MEANS, *MEANS.values())},
        simulated.y_true,
        simulated.y_prob,
        simulated.groups,
        resamples=400,
    )
    called = simulated.y_prob.argmax(axis=1)
    for name, of in MEANS.items():
        inside = called if of == "precision" else simulated.y_true
        lesions = [len(np.unique(simulated.groups[inside == index])) for index in range(7)]
        expected = fraction_estimate(
            evaluation.overall[name].value, drawn[name], effective_lesions(drawn[of], lesions)
        )
        found = evaluation.overall[name]
        assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-6)


def test_a_calibrated_model_has_hardly_any_error_left_once_chance_is_taken_off() -> None:
    plain, corrected, covered = [], [], []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        y_prob = rng.dirichlet(np.ones(7), size=600)
        y_true = np.array([rng.choice(7, p=row) for row in y_prob])
        drawn = draw_scores({"gaps": calibration_gaps}, y_true, y_prob, np.arange(600), resamples=200)["gaps"]
        estimate = calibration_estimate(calibration_gaps(y_true, y_prob), drawn)
        plain.append(float(expected_calibration_error(y_true, y_prob)))
        corrected.append(estimate.value)
        covered.append(estimate.low == 0)
    assert np.mean(corrected) < 0.35 * np.mean(plain)
    assert np.mean(covered) >= 0.85


def test_an_error_far_beyond_chance_is_left_as_it_is() -> None:
    gaps = np.array([0.3, -0.2])
    drawn = gaps + np.random.default_rng(0).normal(0, 0.01, size=(4000, 2))
    estimate = calibration_estimate(gaps, drawn)
    assert estimate.value == pytest.approx(0.5, abs=1e-6)
    assert (estimate.low, estimate.high) == pytest.approx((0.472, 0.528), abs=0.002)


def test_the_part_of_chance_is_that_of_a_folded_normal() -> None:
    drawn = np.random.default_rng(0).normal(0.0, 1.0, size=(200_000, 1))
    estimate = calibration_estimate(np.array([0.5]), drawn)  # within the noise: the gap is taken for none
    assert estimate.value == 0
    estimate = calibration_estimate(np.array([np.sqrt(2)]), drawn)  # a gap of 1 is left
    excess = np.abs(drawn + 1).mean() - 1
    assert estimate.value == pytest.approx(np.sqrt(2) - excess, abs=0.01)


def test_noiseless_gaps_are_taken_as_they_are() -> None:
    estimate = calibration_estimate(np.array([0.1, 0.0]), np.array([[0.1, 0.0]] * 3))
    assert (estimate.value, estimate.low, estimate.high) == pytest.approx((0.1, 0.1, 0.1))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"groups": ["a"]}, r"Expected a group for each of \d+ images but got shape \(1,\)"),
        (
            {"y_prob": np.full((1, 6), 1 / 6), "y_true": [0], "groups": [0]},
            r"shape \(N, 7\).* but got \(1, 6\)",
        ),
        ({"y_prob": np.full((1, 7), 0.2), "y_true": [0], "groups": [0]}, "row 0 sums to 1.4"),
    ],
)
def test_what_cannot_be_scored_is_refused(change: dict[str, Any], message: str, simulated: Simulated) -> None:
    with pytest.raises(ValueError, match=message):
        evaluate(**{**vars(simulated), **change})


def _without(simulated: Simulated, *codes: str) -> Simulated:
    kept = ~np.isin(np.array(CODES)[simulated.y_true], codes)
    return Simulated(simulated.y_true[kept], simulated.y_prob[kept], simulated.groups[kept])


def test_a_test_set_without_some_diagnoses_gets_every_score_that_is_defined(simulated: Simulated) -> None:
    sample = _without(simulated, "df", "vasc")
    found = evaluate(sample.y_true, sample.y_prob, sample.groups, resamples=100)
    assert found.diagnoses == ["akiec", "bcc", "bkl", "mel", "nv"]
    assert set(found.overall) == set(OVERALL)
    present = np.unique(sample.y_true)
    assert found.overall["balanced_accuracy"].value == pytest.approx(
        metrics.recall_score(sample.y_true, sample.y_prob.argmax(axis=1), labels=present, average="macro")
    )
    areas = [metrics.roc_auc_score(sample.y_true == index, sample.y_prob[:, index]) for index in present]
    assert found.overall["macro_auc"].value == pytest.approx(np.mean(areas))
    f1 = metrics.f1_score(sample.y_true, sample.y_prob.argmax(axis=1), labels=present, average="macro")
    assert found.overall["macro_f1"].value == pytest.approx(f1)
    assert found.title("balanced_accuracy") == "balanced accuracy over 5 of 7"
    assert found.title("accuracy") == "accuracy"
    assert set(found.per_class["df"]) == {"specificity", "precision"}  # false alarms are counted
    assert {"recall of df", "auc of vasc", "f1 of df"} <= set(found.undefined)
    assert found.baseline["balanced_accuracy"] == pytest.approx(1 / 5)
    for estimate in found.overall.values():
        assert estimate.low <= estimate.value <= estimate.high
    json.dumps(found.to_json(), allow_nan=False)


def test_a_test_set_of_one_diagnosis_has_a_recall_and_no_ranking(simulated: Simulated) -> None:
    sample = _without(simulated, *(code for code in CODES if code != "mel"))
    found = evaluate(sample.y_true, sample.y_prob, sample.groups, resamples=50)
    assert found.title("balanced_accuracy") == "balanced accuracy over 1 of 7"
    assert found.overall["balanced_accuracy"].value == found.per_class["mel"]["recall"].value
    assert "macro_auc" not in found.overall
    assert {"macro_auc", "macro_average_precision", "specificity of mel"} <= set(found.undefined)


def test_lesions_joined_to_units_give_the_intervals_of_lesions(monkeypatch: pytest.MonkeyPatch) -> None:
    sample = simulate(4200, seed=4)
    exact = evaluate(sample.y_true, sample.y_prob, sample.groups)
    monkeypatch.setattr("lesionwise.evaluation.scores.evaluate.MANY", 1000)
    monkeypatch.setattr(bootstrap, "MOST_UNITS", 300)
    joined = evaluate(sample.y_true, sample.y_prob, sample.groups)
    for name, estimate in exact.overall.items():
        if name != "ece":  # of which the noise is taken off
            assert joined.overall[name].value == pytest.approx(estimate.value)
        width = estimate.high - estimate.low
        assert joined.overall[name].high - joined.overall[name].low == pytest.approx(width, rel=0.2), name
