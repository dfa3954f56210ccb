import numpy as np
import pytest

from lesionwise.evaluation.scores.bootstrap import fraction_estimate
from lesionwise.evaluation.stability import Decided, Stability, describe_stability, measure_stability

N = 60
TRUTH = np.arange(N) % 7
GROUPS = np.array([f"L{number // 2}" for number in range(N)])
TRUTH = TRUTH[np.arange(N) // 2 * 2]  # both photographs of a lesion have one diagnosis


def said(top: np.ndarray, melanoma: np.ndarray | None) -> Decided:
    return Decided(top, np.full(N, "answer"), melanoma)


def changed() -> tuple[Decided, Decided]:
    top, flag = np.array(["nv"] * N), np.zeros(N, bool)
    other, flagged = top.copy(), flag.copy()
    other[:6], flagged[3:6] = "mel", True
    return said(top, flag), said(other, flagged)


def test_a_share_counts_the_images_whose_answer_stays() -> None:
    before, after = changed()
    found = measure_stability([("blink", before, after)], TRUTH, GROUPS, resamples=200)
    kept = found.changes["blink"]
    assert (found.images, found.lesions) == (60, 30)
    assert kept.top.value == pytest.approx(0.9)
    assert kept.decision.value == 1.0
    assert kept.melanoma is not None
    assert kept.melanoma.value == pytest.approx(0.95)
    assert kept.top.low < 0.9 < kept.top.high


def test_intervals_resample_lesions_and_not_images() -> None:
    before, after = changed()
    after.top[:6], after.top[:12:2] = "nv", "mel"  # as many images, of twice as many lesions
    spread = measure_stability([("blink", before, after)], TRUTH, GROUPS).changes["blink"].top
    together = measure_stability([("blink", *changed())], TRUTH, GROUPS).changes["blink"].top
    assert spread.value == together.value
    assert spread.high - spread.low < together.high - together.low


def test_an_answer_that_never_changes_is_no_proof() -> None:
    before, _ = changed()
    kept = measure_stability([("blink", before, before)], TRUTH, GROUPS, resamples=50).changes["blink"]
    assert kept.top == fraction_estimate(1.0, np.ones(50), 30)
    assert kept.top.low < 0.9


def test_a_model_without_a_threshold_has_no_flag_to_keep() -> None:
    before, after = changed()
    pair = said(before.top, None), said(after.top, None)
    found = measure_stability([("blink", *pair)], TRUTH, GROUPS, resamples=50)
    assert found.changes["blink"].melanoma is None
    assert set(found.changes["blink"].shares) == {"top", "decision"}
    assert Stability.from_json(found.to_json()) == found


def test_it_is_described_by_what_changes_most_and_least() -> None:
    before, after = changed()
    found = measure_stability([("blink", before, after), ("wink", before, before)], TRUTH, GROUPS)
    assert describe_stability(found) == [
        "blink changes the likeliest diagnosis of 10.0 % of 60 images, wink of 0.0 %.",
        "The melanoma flag changes most often with blink: for 5.0 %.",
    ]
    assert Stability.from_json(found.to_json()) == found
