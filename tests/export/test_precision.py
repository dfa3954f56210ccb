"""The margin within which answers of fewer bits are computed again, and what still changes."""

import numpy as np
import pytest

from bundle.small_model import describe
from lesionwise.bundle.answers import Answers
from lesionwise.export.precision import Timed, check_with_margin
from lesionwise.labels import CODES

# The probability of the first of two classes for 800 images of as many lesions. In ten of them the diagnosis
# changes, at different distances from a tie.
COUNT = 800
EXACT = np.full(COUNT, 0.9)
EXACT[:10] = 0.45
QUICK = EXACT.copy()
QUICK[:10] = 0.51 + 0.01 * np.arange(10)
TRUTH = np.arange(COUNT) % len(CODES)
LESIONS = np.array([f"{row:03}" for row in range(COUNT)])


def answers(first: np.ndarray) -> Answers:
    prob = np.zeros((COUNT, len(CODES)), np.float32)
    prob[:, 0], prob[:, 1] = first, 1 - first
    return Answers(describe(calibration=None), prob, np.log(prob + 1e-9), ood_score=prob[:, 0])


def log_odds(prob: float) -> float:
    return float(np.log(prob) - np.log1p(-prob))


def test_the_margin_leaves_one_image_in_200_and_each_tenth_is_counted_with_the_others() -> None:
    found = check_with_margin(Timed(answers(EXACT), 8.0), Timed(answers(QUICK), 2.0), TRUTH, LESIONS)
    assert found.margin == pytest.approx(log_odds(0.56), abs=1e-5)  # .57 to .60 are the four that are left
    assert found.computed_again == 6
    # Each of the ten lies in a tenth of its own, and three of the other nine may be left. So the margin
    # without one of .57 to .60 is that of .56, and without another one that of .57.
    assert (found.top_changed, found.changed) == (4, 4)
    assert found.largest_difference == pytest.approx(0.15)
    assert found.pace == pytest.approx(8 / (2 + 6 / COUNT * 8), abs=0.01)


def test_where_nothing_changes_nothing_is_computed_again() -> None:
    both = answers(EXACT)
    found = check_with_margin(Timed(both, 2.0), Timed(both, 1.0), TRUTH, LESIONS)
    assert (found.margin, found.computed_again, found.changed, found.pace) == (None, None, 0, 2)


def test_a_clock_that_counts_nothing_gives_a_pace_all_the_same() -> None:
    both = answers(EXACT)
    assert check_with_margin(Timed(both, 0.0), Timed(both, 0.0), TRUTH, LESIONS).pace == 1
