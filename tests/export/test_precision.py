"""The margin within which answers of fewer bits are computed again, and what still changes."""

import numpy as np
import pytest

from bundle.small_model import describe
from lesionwise.bundle.answers import Answers
from lesionwise.export.precision import Timed, check_with_margin
from lesionwise.labels import CODES

# The probability of the first of two classes for eight images of two lesions; five more are of other classes.
EXACT = [0.9, 0.48, 0.55, 0.8, 0.9, 0.45, 0.6, 0.7]
QUICK = [0.9, 0.52, 0.54, 0.8, 0.9, 0.60, 0.6, 0.7]  # the second image changes, and the sixth by more
TRUTH = np.array([0, 1, 0, 0, 0, 1, 0, 0, 2, 3, 4, 5, 6])
LESIONS = np.array(list("aaaabbbbccccc"))


def answers(first: list[float]) -> Answers:
    prob = np.zeros((len(TRUTH), len(CODES)), np.float32)
    prob[: len(first), 0] = first
    prob[: len(first), 1] = 1 - prob[: len(first), 0]
    prob[range(len(first), len(TRUTH)), range(2, len(CODES))] = 1
    return Answers(describe(calibration=None), prob, np.log(prob + 1e-9), ood_score=prob[:, 0])


def test_the_margin_holds_all_changed_images_and_each_half_is_counted_with_the_other_one() -> None:
    found = check_with_margin(Timed(answers(EXACT), 8.0), Timed(answers(QUICK), 2.0), TRUTH, LESIONS)
    assert found.margin == pytest.approx(0.2)  # 0.60 - 0.40; among the other lesions it was 0.52 - 0.48
    assert found.computed_again == 4  # the two that change, 0.54 and 0.6
    assert found.top_changed == 1  # the sixth image, which the margin of the other lesions does not reach
    assert found.balanced_accuracy_change == pytest.approx(-1 / 14)  # one of the two images of one class
    assert found.largest_difference == pytest.approx(0.15)
    assert found.pace == pytest.approx(8 / (2 + 4 / 13 * 8), abs=0.01)


def test_where_nothing_changes_only_exact_ties_are_computed_again() -> None:
    both = answers(EXACT)
    found = check_with_margin(Timed(both, 2.0), Timed(both, 1.0), TRUTH, LESIONS)
    assert (found.margin, found.computed_again, found.top_changed, found.pace) == (0, 0, 0, 2)
