"""Drawn images only: what another camera makes of a lesion image, and pictures of none."""

import numpy as np
import pytest

from lesionwise.data.foreign import FOREIGN, change_camera


@pytest.fixture
def lesion() -> np.ndarray:
    """A dark spot on skin, with a little texture."""
    rows, columns = np.mgrid[:60, :80]
    spot = np.hypot(rows - 30, columns - 40) < 9
    skin = np.where(spot[..., None], (110, 70, 60), (220, 170, 150))
    noise = np.random.default_rng(0).normal(0, 4, (60, 80, 1))
    return np.asarray(np.clip(skin + noise, 0, 255), np.uint8)


def test_another_camera_keeps_the_lesion_darker_than_its_surroundings(lesion: np.ndarray) -> None:
    for seed in range(40):
        seen = change_camera(lesion, np.random.default_rng(seed))
        assert seen.shape == lesion.shape
        assert seen.dtype == np.uint8
        assert seen[26:34, 36:44].mean() < seen[26:34, [12, 13, 66, 67]].mean()


def test_cameras_differ_in_light_and_colour(lesion: np.ndarray) -> None:
    means = np.array([change_camera(lesion, np.random.default_rng(seed)).mean((0, 1)) for seed in range(40)])
    assert (means.std(axis=0) > 15).all()
    assert (means[:, 0] - means[:, 2]).std() > 10


@pytest.mark.parametrize("kind", FOREIGN)
def test_an_outsider_is_a_picture_of_the_same_size_and_the_same_for_the_same_seed(
    kind: str, lesion: np.ndarray
) -> None:
    for seed in range(10):
        made, again = (FOREIGN[kind](lesion, np.random.default_rng(seed)) for _ in range(2))
        assert made.shape == lesion.shape
        assert made.dtype == np.uint8
        assert (made == again).all()
        assert (made != lesion).any()


def test_skin_is_where_the_lesion_is_not(lesion: np.ndarray) -> None:
    skin = FOREIGN["skin"](lesion, np.random.default_rng(0))
    assert skin[..., 0].min() > 180


def test_tiny_images_have_outsiders_too() -> None:
    tiny = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
    for kind in FOREIGN:
        assert FOREIGN[kind](tiny, np.random.default_rng(0)).shape == tiny.shape
    assert change_camera(tiny, np.random.default_rng(0)).shape == tiny.shape
