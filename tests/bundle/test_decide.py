import numpy as np
import pytest

from bundle.small_model import CALIBRATION, describe
from lesionwise.bundle.decide import decide, distance_to_change
from lesionwise.evaluation.calibration.record import NO_PROMISE, softmax
from lesionwise.labels import CODES


def probabilities(**given: float) -> np.ndarray:
    """One image; what is not given is shared by the other diagnoses."""
    rest = (1 - sum(given.values())) / (len(CODES) - len(given))
    return np.array([[given.get(code, rest) for code in CODES]])


def without_promise(*codes: str) -> object:
    """The calibration of the small model without a number for some diagnoses."""
    record = CALIBRATION.model_dump()
    for code in codes:
        record["prediction_sets"]["classes"][code]["quantile"] = NO_PROMISE
    return record


def test_a_set_that_settles_malignancy_is_an_answer() -> None:
    said = decide(describe(), probabilities(nv=0.6, bkl=0.3))
    assert said.decision.tolist() == ["answer"]
    assert said.top.tolist() == ["nv"]
    assert said.prediction_codes(0) == ("bkl", "nv")


def test_a_set_with_malignant_and_benign_diagnoses_is_uncertain() -> None:
    said = decide(describe(), probabilities(nv=0.6, mel=0.3))
    assert said.decision.tolist() == ["uncertain"]
    assert said.prediction_codes(0) == ("mel", "nv")
    assert said.malignant_probability == pytest.approx([0.3 + 2 * 0.1 / 5])


def test_a_diagnosis_without_promise_does_not_make_every_answer_uncertain() -> None:
    description = describe(calibration=without_promise("akiec"))
    said = decide(description, probabilities(nv=0.9))
    assert said.prediction_codes(0) == ("akiec", "nv")
    assert said.decision.tolist() == ["answer"]
    malignant = decide(description, probabilities(akiec=0.9))
    assert malignant.decision.tolist() == ["answer"]
    assert decide(description, probabilities(akiec=0.5, nv=0.4)).decision.tolist() == ["uncertain"]


def test_the_melanoma_threshold_is_reached_at_its_value() -> None:
    prob = np.concatenate([probabilities(mel=0.2), probabilities(mel=0.19)])
    found = decide(describe(), prob).above_melanoma_threshold
    assert found is not None
    assert found.tolist() == [True, False]


def test_what_is_far_from_every_lesion_is_no_lesion_image() -> None:
    prob = np.concatenate([probabilities(nv=0.9)] * 2)
    description = describe(ood_cutoff=3.0)
    assert decide(description, prob, [2.9, 3.0]).decision.tolist() == ["answer", "not_a_lesion_image"]
    assert decide(describe(), prob, [2.9, 3.0]).decision.tolist() == ["answer", "answer"]


def test_an_uncalibrated_model_answers_without_sets_and_thresholds() -> None:
    said = decide(describe(calibration=None), probabilities(mel=0.3))
    assert said.decision.tolist() == ["answer"]
    assert said.prediction_set is None
    assert said.prediction_codes(0) is None
    assert said.above_melanoma_threshold is None


def test_what_is_no_number_is_never_an_answer() -> None:
    said = decide(describe(ood_cutoff=3.0), probabilities(nv=0.9), [np.nan])
    assert said.decision.tolist() == ["not_a_lesion_image"]
    with pytest.raises(ValueError, match="Expected finite probabilities"):
        decide(describe(), probabilities(nv=0.9) * np.nan)


@pytest.mark.parametrize("calibrated", [True, False])
def test_no_answer_changes_while_log_odds_move_by_less_than_the_distance(*, calibrated: bool) -> None:
    rng = np.random.default_rng(0)
    description = describe(**({} if calibrated else {"calibration": None}))
    logits = rng.normal(0, 2, (2000, len(CODES)))
    before = softmax(logits)
    # A logit off by at most a quarter of the distance moves log-odds by at most half of it.
    moves = rng.uniform(-1, 1, logits.shape) * distance_to_change(description, before)[:, None] / 4
    then, now = (decide(description, prob) for prob in (before, softmax(logits + moves)))
    assert np.array_equal(then.top, now.top)
    assert np.array_equal(then.decision, now.decision)
    for one, other in (
        (then.prediction_set, now.prediction_set),
        (then.above_melanoma_threshold, now.above_melanoma_threshold),
    ):
        assert (one is not None) == (other is not None) == calibrated
        if one is not None and other is not None:
            assert np.array_equal(one, other)


@pytest.mark.parametrize(
    "boundary", [{"nv": 0.45, "mel": 0.45}, {"nv": 0.6, "bkl": 0.2}, {"nv": 0.7, "mel": 0.2}]
)
def test_the_distance_is_zero_at_a_tie_at_the_limit_of_a_set_and_at_the_threshold(
    boundary: dict[str, float],
) -> None:
    at, off = probabilities(**boundary), probabilities(nv=0.9)
    assert distance_to_change(describe(), np.concatenate([at, off]))[0] == pytest.approx(0, abs=1e-6)
    assert distance_to_change(describe(), off)[0] > 1


@pytest.mark.parametrize("rule", ["lac", "aps"])
@pytest.mark.parametrize("limit", [0.0, 1.0, 1 - 1e-12])
def test_a_limit_that_divides_nothing_brings_no_answer_nearer_to_another(rule: str, limit: float) -> None:
    record = CALIBRATION.model_dump()
    record["prediction_sets"]["rule"] = rule
    for found in record["prediction_sets"]["classes"].values():
        found["quantile"] = limit
    prob = probabilities(nv=0.9)
    plain = distance_to_change(describe(calibration=None), prob)
    melanoma = np.log(0.2 / 0.8) - np.log((0.1 / 6) / (1 - 0.1 / 6))
    assert distance_to_change(describe(calibration=record), prob) == pytest.approx([min(plain[0], melanoma)])


def test_the_likeliest_diagnosis_leaves_its_set_only_at_a_tie() -> None:
    at_its_limit = probabilities(nv=0.2 + 1e-9, akiec=0.19)  # every set has the limit .8
    assert distance_to_change(describe(), at_its_limit)[0] == pytest.approx(np.log(0.2 / 0.19), abs=1e-3)
