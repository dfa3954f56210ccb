import numpy as np
import pytest

from bundle.small_model import CALIBRATION, describe
from lesionwise.bundle.decide import decide
from lesionwise.evaluation.calibration.record import NO_PROMISE
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
