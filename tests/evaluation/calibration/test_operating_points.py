import numpy as np
import pytest

from evaluation.coverage import HAM10000_VAL, Model
from evaluation.simulation import Simulated, simulate
from lesionwise.evaluation.calibration.operating_points import (
    DEFAULT_POINTS,
    both_questions,
    choose_point,
    is_positive,
    measure_point,
)
from lesionwise.evaluation.calibration.record import (
    NO_PROMISE,
    Aim,
    OperatingPoint,
    Question,
    question_probability,
)


def _part(chosen: np.ndarray, side: np.ndarray, groups: np.ndarray) -> float:
    """Mean over lesions of the part of their photographs that is chosen."""
    return float(np.mean([chosen[side & (groups == lesion)].mean() for lesion in sorted(set(groups[side]))]))


@pytest.mark.parametrize(("question", "aim", "at_least"), [*DEFAULT_POINTS, ("melanoma", "sensitivity", 0.5)])
def test_the_threshold_is_the_best_of_all_that_reach_what_is_asked(
    question: Question, aim: Aim, at_least: float, simulated: Simulated
) -> None:
    sample = simulated.y_true, simulated.y_prob, simulated.groups
    point = choose_point(*sample, question=question, aim=aim, at_least=at_least, resamples=50)
    positive, score = (
        is_positive(simulated.y_true, question),
        question_probability(simulated.y_prob, question),
    )
    own = positive if aim == "sensitivity" else ~positive
    lesions = len(set(simulated.groups[own]))

    def reaches(threshold: float) -> bool:
        chosen = score >= threshold if aim == "sensitivity" else score < threshold
        return lesions * _part(chosen, own, simulated.groups) >= at_least * (lesions + 1) - 1e-9

    steps = np.unique(np.concatenate([score, np.nextafter(score, 2)]))
    enough = [float(value) for value in steps if reaches(value)]
    if not enough:
        assert point.threshold == NO_PROMISE
        assert point.sensitivity is None
        return
    assert point.threshold == (max(enough) if aim == "sensitivity" else min(enough))
    called = score >= point.threshold
    assert point.sensitivity is not None
    assert point.specificity is not None
    assert point.sensitivity.value == pytest.approx(_part(called, positive, simulated.groups))
    assert point.specificity.value == pytest.approx(_part(~called, ~positive, simulated.groups))
    assert point.sensitivity.low < point.sensitivity.value < point.sensitivity.high or at_least > 0.9
    assert (point.positives, point.negatives) == (
        len(set(simulated.groups[positive])), len(set(simulated.groups[~positive])),
    )  # fmt: skip


def test_too_few_lesions_give_no_threshold() -> None:
    sample = simulate(60, seed=1)
    few = np.flatnonzero(sample.y_true == 4)[:6]
    rows = np.sort(np.concatenate([few, np.flatnonzero(sample.y_true != 4)]))
    chosen = sample.y_true[rows], sample.y_prob[rows], sample.groups[rows]
    point = choose_point(*chosen, question="melanoma", aim="sensitivity", at_least=0.95, resamples=20)
    assert point.threshold == NO_PROMISE
    assert measure_point(point, *chosen) == {}
    none = choose_point([5, 5], np.eye(7)[[5, 5]], [1, 2], question="melanoma", aim="sensitivity",
                        at_least=0.9)  # fmt: skip
    assert (none.threshold, none.positives, none.negatives) == (NO_PROMISE, 0, 2)


def test_a_side_without_lesions_is_left_out(simulated: Simulated) -> None:
    sample = simulated.y_true, simulated.y_prob, simulated.groups
    point = choose_point(*sample, question="malignant", aim="sensitivity", at_least=0.8, resamples=20)
    benign = ~is_positive(simulated.y_true, "malignant")
    found = measure_point(
        point, simulated.y_true[benign], simulated.y_prob[benign], simulated.groups[benign], resamples=20
    )
    assert set(found) == {"specificity"}


@pytest.mark.parametrize("found", [True, False])
def test_all_or_none_found_is_no_certainty_where_lesions_have_three_photographs(*, found: bool) -> None:
    y_true, lesions = np.array([4] * 30 + [5] * 30), np.repeat(np.arange(20), 3)
    point = OperatingPoint(
        question="melanoma", aim="sensitivity", at_least=0.9, threshold=0.5, positives=10, negatives=10
    )
    prob = np.where((y_true == 4) == found, 0.8, 0.1)
    y_prob = np.column_stack([np.zeros((60, 4)), prob, 1 - prob, np.zeros(60)])
    reach = 0.025 ** (1 / 10)  # the exact bound of ten of ten
    for estimate in measure_point(point, y_true, y_prob, lesions, resamples=20).values():
        exact = (1, reach, 1) if found else (0, 0, 1 - reach)
        assert (estimate.value, estimate.low, estimate.high) == pytest.approx(exact, abs=1e-12)


def test_new_lesions_are_found_as_often_as_was_asked() -> None:
    model, rng = Model(), np.random.default_rng(1)
    lesions = {code: 2 * count for code, count in HAM10000_VAL.items()}
    aims: tuple[tuple[Aim, float], ...] = (("sensitivity", 0.9), ("specificity", 0.9))
    for aim, at_least in aims:
        found = []
        for _ in range(60):
            point = choose_point(
                *model.draw(lesions, rng), question="melanoma", aim=aim, at_least=at_least, resamples=5
            )
            new = measure_point(
                point, *model.draw({code: 4 * count for code, count in lesions.items()}, rng), resamples=5
            )
            found.append(new[aim].value)
        deviation = np.std(found) / np.sqrt(len(found))
        assert at_least - 3 * deviation <= np.mean(found) <= at_least + 0.02 + 3 * deviation


def test_wishes_are_asked_of_both_questions_in_their_order() -> None:
    assert both_questions([0.9], [0.8]) == (
        ("melanoma", "sensitivity", 0.9), ("melanoma", "specificity", 0.8),
        ("malignant", "sensitivity", 0.9), ("malignant", "specificity", 0.8),
    )  # fmt: skip
    assert DEFAULT_POINTS[0] == ("melanoma", "sensitivity", 0.9)
