import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation.plain_scores import OVERALL
from evaluation.simulation import Simulated
from lesionwise.errors import DataError
from lesionwise.evaluation.compare import DIFFERENCES, compare, mcnemar
from lesionwise.evaluation.predictions import Predictions


def _record(sample: Simulated, *, skill: float = 0) -> Predictions:
    """The sample's predictions, pulled towards the truth by `skill`."""
    ids = np.array([f"I{index:04d}" for index in range(len(sample.y_true))])
    prob = sample.y_prob * np.exp(skill * np.eye(7)[sample.y_true])
    return Predictions(ids, prob / prob.sum(axis=1, keepdims=True), sample.y_true, sample.groups)


def test_a_better_model_is_found_better(simulated: Simulated) -> None:
    worse, better = _record(simulated), _record(simulated, skill=1)
    (found,) = compare([("worse", worse), ("better", better)], resamples=300).comparisons
    assert (found.name, found.reference, found.lesions) == ("better", "worse", 140)
    assert found.images == len(simulated.y_true)
    assert found.differences["accuracy"].low > 0
    assert found.differences["log_loss"].high < 0
    assert found.mcnemar.first_alone == 0
    assert found.mcnemar.p_value < 0.001
    assert set(found.differences) == set(DIFFERENCES)
    assert found.to_json()["mcnemar"]["second_alone"] == found.mcnemar.second_alone


def test_the_difference_is_that_of_the_scores(simulated: Simulated) -> None:
    first, second = _record(simulated), _record(simulated, skill=0.5)
    (found,) = compare([("first", first), ("second", second)], resamples=50).comparisons
    for name in DIFFERENCES:
        score = OVERALL[name]
        expected = score(simulated.y_true, second.y_prob, None) - score(simulated.y_true, first.y_prob, None)
        estimate = found.differences[name]
        assert estimate.value == pytest.approx(float(expected))
        assert estimate.low <= estimate.high


def test_pairing_narrows_the_interval_of_models_that_agree(simulated: Simulated) -> None:
    first, second = _record(simulated), _record(simulated, skill=0.1)
    (paired,) = compare([("first", first), ("second", second)], resamples=300).comparisons
    mirrored = replace(first, y_prob=first.y_prob[:, ::-1])
    (unlike,) = compare([("first", first), ("mirrored", mirrored)], resamples=300).comparisons
    width = [c.differences["accuracy"].high - c.differences["accuracy"].low for c in (paired, unlike)]
    assert width[0] < width[1] / 2


def test_a_model_equals_itself_in_any_order(simulated: Simulated) -> None:
    model = _record(simulated)
    order = np.random.default_rng(0).permutation(len(model.image_id))
    assert model.y_true is not None
    assert model.group is not None
    shuffled = Predictions(
        model.image_id[order], model.y_prob[order], model.y_true[order], model.group[order]
    )
    (found,) = compare([("model", model), ("shuffled", shuffled)], resamples=20).comparisons
    assert all((d.value, d.low, d.high) == (0, 0, 0) for d in found.differences.values())
    assert found.mcnemar.p_value == 1


def test_each_model_is_held_against_the_first(simulated: Simulated) -> None:
    models = [(str(skill), _record(simulated, skill=skill)) for skill in (0, 0.5, 1)]
    found = compare(models, resamples=20).comparisons
    assert [(c.name, c.reference) for c in found] == [("0.5", "0"), ("1", "0")]


@pytest.mark.parametrize(("b", "c", "p_value"), [(0, 0, 1), (1, 0, 1), (5, 0, 0.0625), (2, 8, 0.109375)])
def test_mcnemar_is_the_exact_binomial_test(b: int, c: int, p_value: float) -> None:
    y_true = np.zeros(b + c + 4, int)
    first = np.eye(2)[np.r_[np.zeros(b), np.ones(c), [0, 0, 1, 1]].astype(int)]
    second = np.eye(2)[np.r_[np.ones(b), np.zeros(c), [0, 0, 1, 1]].astype(int)]
    found = mcnemar(y_true, first, second)
    assert (found.first_alone, found.second_alone) == (b, c)
    assert found.p_value == pytest.approx(p_value)


@given(st.integers(0, 1000))
def test_mcnemar_does_not_care_who_is_first(seed: int) -> None:
    rng = np.random.default_rng(seed)
    y_true, first, second = rng.integers(3, size=30), rng.random((30, 3)), rng.random((30, 3))
    one, other = mcnemar(y_true, first, second), mcnemar(y_true, second, first)
    assert one.p_value == pytest.approx(other.p_value)
    assert (one.first_alone, one.second_alone) == (other.second_alone, other.first_alone)


def test_models_on_different_images_are_not_compared(simulated: Simulated) -> None:
    model = _record(simulated)
    fewer = Predictions(model.image_id[1:], model.y_prob[1:], simulated.y_true[1:], simulated.groups[1:])
    with pytest.raises(
        DataError, match="b: expected the images of a but 1 image, such as I0000, is in only one"
    ):
        compare([("a", model), ("b", fewer)])
    with pytest.raises(DataError, match="b: expected the images of a but 1 image,"):
        compare([("a", fewer), ("b", model)])


def test_models_that_disagree_about_the_truth_are_not_compared(simulated: Simulated) -> None:
    model = _record(simulated)
    turned = replace(model, y_true=(simulated.y_true + 1) % 7)
    with pytest.raises(DataError, match="b: I0000 has another diagnosis than in a"):
        compare([("a", model), ("b", turned)])
    regrouped = replace(model, group=np.roll(simulated.groups, 1))
    with pytest.raises(DataError, match=r"b: I\d{4} has another lesion than in a"):
        compare([("a", model), ("b", regrouped)])


def test_truth_and_lesions_are_needed(simulated: Simulated) -> None:
    model = _record(simulated)
    with pytest.raises(DataError, match="a: expected the columns y_true and group but y_true is missing"):
        compare([("a", replace(model, y_true=None)), ("b", model)])
    with pytest.raises(DataError, match="b: expected the columns y_true and group but group is missing"):
        compare([("a", model), ("b", replace(model, group=None))])
    with pytest.raises(ValueError, match="at least two models but got 1"):
        compare([("a", model)])


def test_models_are_ranked_with_the_ranks_of_the_resamples(simulated: Simulated) -> None:
    good, bad = _record(simulated, skill=2.0), _record(simulated, skill=0.2)
    noise = np.exp(np.random.default_rng(1).normal(size=good.y_prob.shape) / 2)
    near = replace(good, y_prob=good.y_prob * noise / (good.y_prob * noise).sum(axis=1, keepdims=True))
    contest = compare([("bad", bad), ("near", near), ("good", good)], resamples=300)
    assert [one.rank for one in contest.standings] == [1, 2, 3]
    assert contest.standings[2].name == "bad"
    assert (contest.standings[2].rank_low, contest.standings[2].rank_high) == (3, 3)
    first, second, third = contest.standings
    assert first.behind is None
    assert (first.rank_low, first.rank_high, second.rank_high) == (1, 2, 2)
    assert second.behind is not None
    assert third.behind is not None
    assert second.behind.low <= 0 < third.behind.low
    sentence = contest.verdict()
    assert sentence.startswith(f"{first.name} is best by balanced accuracy")
    assert f"by chance alone it could differ from {second.name}" in sentence
    assert "beyond chance, it is better than bad" in sentence


def test_a_clear_lead_is_called_beyond_chance(simulated: Simulated) -> None:
    contest = compare(
        [("bad", _record(simulated, skill=0.2)), ("good", _record(simulated, skill=2))], resamples=99
    )
    assert "its lead over bad is beyond chance" in contest.verdict()
    json.dumps(contest.to_json(), allow_nan=False)


def test_models_are_compared_on_a_test_set_that_lacks_diagnoses(simulated: Simulated) -> None:
    kept = ~np.isin(simulated.y_true, [3, 6])
    models = [(name, _record(simulated, skill=skill).take(kept)) for name, skill in (("a", 0.5), ("b", 1.0))]
    contest = compare(models, resamples=50)
    assert contest.score == "balanced accuracy over 5 of 7"
    assert "macro_auc" in contest.comparisons[0].differences


def test_models_that_name_images_otherwise_are_matched(simulated: Simulated) -> None:
    model = _record(simulated)
    paths = np.array([f"/data/part/{image}.jpg" for image in model.image_id])
    (found,) = compare([("a", model), ("b", replace(model, image_id=paths))], resamples=20).comparisons
    assert found.differences["accuracy"].value == 0


def test_models_without_a_difference_share_the_first_rank(simulated: Simulated) -> None:
    model = _record(simulated)
    contest = compare([("a", model), ("b", model)], resamples=20)
    assert [(one.rank, one.rank_low, one.rank_high) for one in contest.standings] == [(1, 1, 1), (1, 1, 1)]
    assert contest.verdict().startswith("a, b do not differ by balanced accuracy")


def test_models_are_compared_by_image_where_no_lesion_is_known(simulated: Simulated) -> None:
    model, other = (replace(_record(simulated, skill=skill), group=None) for skill in (0, 1))
    renamed = replace(other, image_id=np.array([f"images/{name}.jpg" for name in other.image_id]))
    (found,) = compare([("a", model), ("b", renamed)], by="image", resamples=20).comparisons
    assert found.lesions == found.images == len(simulated.y_true)
