import numpy as np
import pytest
from scipy import stats

from lesionwise.evaluation.scores.fold_mean import mean_over_folds, mean_over_seeds


def test_the_interval_over_seeds_is_that_of_student() -> None:
    values = [0.61, 0.64, 0.60, 0.66]
    low, high = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    spread = mean_over_seeds(values)
    assert (spread.low, spread.high) == pytest.approx((low, high))
    assert spread.deviation == pytest.approx(np.std(values, ddof=1))


def test_the_interval_over_folds_is_wider_by_what_shared_training_images_are_worth() -> None:
    values = [0.61, 0.64, 0.60, 0.66]
    seeds, folds = mean_over_seeds(values), mean_over_folds(values, ratio=3 / 7)
    assert seeds.low is not None
    assert folds.low is not None
    assert (folds.mean - folds.low) / (seeds.mean - seeds.low) == pytest.approx(
        np.sqrt((1 / 4 + 3 / 7) / (1 / 4))
    )


def test_it_holds_the_truth_about_as_often_as_it_says_when_runs_share_their_images() -> None:
    rng, folds, held = np.random.default_rng(0), 5, 0
    for _ in range(2_000):  # scores with the correlation that the correction takes them to have
        shared, own = rng.normal(0, np.sqrt(1 / folds)), rng.normal(0, np.sqrt(1 - 1 / folds), folds)
        spread = mean_over_folds((0.5 + 0.01 * (shared + own)).tolist(), ratio=1 / (folds - 1))
        assert spread.low is not None
        assert spread.high is not None
        held += spread.low <= 0.5 <= spread.high
    assert 0.93 < held / 2_000 < 0.97


def test_one_fold_has_no_interval_and_bounds_stay_where_scores_can_be() -> None:
    assert str(mean_over_folds([0.7], ratio=1 / 4)) == "0.700"
    spread = mean_over_folds([0.2, 0.9], ratio=1 / 4)
    assert (spread.low, spread.high) == (0, 1)
