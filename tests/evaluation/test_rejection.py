"""Drawn numbers only: the scores, the one that is learnt, and the cut-off."""

import numpy as np
import pytest

from lesionwise.errors import DataError
from lesionwise.evaluation.rejection import (
    Rejection,
    accepted_out_of_fold,
    accepting_cutoff,
    fit_rejection,
    rejecting_cutoff,
)


def drawn(rows: int, seed: int, shift: float = 0.0) -> np.ndarray:
    """Numbers that go together; others lie apart along the first of them."""
    rng = np.random.default_rng(seed)
    mixing = np.random.default_rng(99).normal(size=(6, 6))
    return np.asarray(rng.normal(0, 1, (rows, 6)) @ mixing + shift * np.eye(6)[0])


def fitted(classes: np.ndarray | None = None) -> Rejection:
    return fit_rejection(drawn(300, 0), drawn(200, 1, 25), cal=drawn(200, 2), cal_classes=classes)


@pytest.mark.parametrize("images", [5, 99, 100, 869])
def test_the_cutoff_lets_at_least_the_promised_part_pass(images: int) -> None:
    score = np.random.default_rng(images).normal(size=images)
    assert np.mean(score < accepting_cutoff(score)) >= 0.99 or images < 99


def test_new_lesion_images_pass_as_often_as_promised() -> None:
    rng = np.random.default_rng(0)
    passed = [np.mean(rng.normal(size=400) < accepting_cutoff(rng.normal(size=300))) for _ in range(200)]
    assert 0.985 < np.mean(passed) < 0.997


def test_units_are_those_of_lesion_images_not_fitted_on() -> None:
    np.testing.assert_allclose(np.quantile(fitted().score(drawn(200, 2)), (0.5, 0.99)), (0, 1), atol=1e-9)


def test_lesion_images_pass_and_others_do_not() -> None:
    rejection = fitted()
    assert np.mean(rejection.score(drawn(500, 7)) < rejection.cutoff) > 0.95
    assert (rejection.score(drawn(500, 8, 25)) >= rejection.cutoff).all()


def test_a_number_that_never_changes_is_no_reason_to_reject() -> None:
    still = [
        np.hstack([drawn(60, seed, shift), np.ones((60, 1))]) for seed, shift in ((0, 0), (1, 25), (2, 0))
    ]
    rejection = fit_rejection(still[0], still[1], cal=still[2])
    assert np.isfinite(rejection.score(still[2])).all()
    assert np.mean(rejection.score(still[2]) < rejection.cutoff) == 1


def test_a_rare_diagnosis_passes_as_often_as_promised() -> None:
    classes = np.repeat([5, 3], [900, 40])
    score = np.random.default_rng(0).normal(size=940) + 3 * (classes == 3)
    assert np.mean(score[classes == 3] < rejecting_cutoff(score)) < 0.9
    cutoff = rejecting_cutoff(score, classes)
    assert np.mean(score[classes == 3] < cutoff) >= 0.95
    assert np.mean(score < cutoff) >= 0.99


def test_images_of_other_cameras_pass_as_often_as_promised() -> None:
    score = np.random.default_rng(0).normal(size=900)
    changed = score[:500] + 1.5
    assert np.mean(changed < rejecting_cutoff(score)) < 0.95
    assert np.mean(changed < rejecting_cutoff(score, None, changed)) >= 0.975


def test_what_passes_is_counted_by_a_cutoff_that_other_images_set() -> None:
    classes = np.repeat([4, 3], [500, 10])
    score = np.r_[np.random.default_rng(0).normal(size=500), np.zeros(9), 50.0]
    found = accepted_out_of_fold(score, classes)
    assert list(found) == ["df", "mel"]
    assert (found["df"].images, found["df"].part) == (10, 0.9)  # the one far off sets no cut-off for itself
    assert 0.97 < found["mel"].part <= 1
    assert np.mean(score < rejecting_cutoff(score, classes)) == 1


def test_no_image_sets_the_cutoff_of_its_own_lesion_nor_of_itself_by_another_camera() -> None:
    classes = np.repeat([4, 3], [500, 40])
    lesions = np.r_[np.arange(500), 500 + np.repeat(np.arange(20), 2)]
    score = np.r_[np.random.default_rng(0).normal(size=500), np.zeros(38), 50.0, 50.0]
    assert (
        accepted_out_of_fold(score, classes, groups=lesions)["df"].part == 0.95
    )  # both of the lesion far off
    single = accepted_out_of_fold(score[:539], classes[:539], changed=score[:539] + 100 * (score[:539] > 40))
    assert single["df"].part == 38 / 39  # its own look through another camera lies beyond it and is not used


def test_what_belongs_to_cal_has_its_length() -> None:
    with pytest.raises(ValueError, match=r"arrays of one length for cal but got \[150, 200\]"):
        fit_rejection(drawn(300, 0), drawn(200, 1, 25), cal=drawn(200, 2), cal_changed=drawn(150, 2))


def test_diagnoses_are_promised_something_only_where_they_are_known() -> None:
    assert fitted().accepted == {}
    assert sum(kept.images for kept in fitted(np.arange(200) % 7).accepted.values()) == 200


def test_a_rejection_without_a_lesion_image_in_cal_is_refused() -> None:
    rng = np.random.default_rng(0)
    lesions, foreign = rng.normal(size=(20, 3)), rng.normal(5, 1, size=(20, 3))
    with pytest.raises(
        DataError, match="lesion images in cal to set the cut-off of the rejection, but found"
    ):
        fit_rejection(lesions, foreign, cal=np.empty((0, 3)))
