"""Drawn pictures only."""

import numpy as np
import pytest
import torch
from torch.nn.functional import avg_pool2d

from lesionwise.models.appearance import Appearance


def spots(seed: int = 0, size: tuple[int, int] = (48, 64)) -> torch.Tensor:
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: size[0], : size[1]]
    dark = np.exp(-((y - size[0] / 2) ** 2 + (x - size[1] / 2) ** 2) / 150)
    skin = np.array([0.8, 0.6, 0.5])[:, None, None] * (1 - 0.6 * dark) + rng.normal(0, 0.02, (3, *size))
    return picture(torch.tensor(np.clip(skin, 0, 1), dtype=torch.float32)[None])


def picture(values: torch.Tensor) -> torch.Tensor:
    """Return values in [0, 1], shape (B, 3, H, W), as RGB (B, H, W, 3), uint8."""
    return (255 * values).round().to(torch.uint8).permute(0, 2, 3, 1)


def values(picture: torch.Tensor) -> torch.Tensor:
    return picture.permute(0, 3, 1, 2) / 255


@pytest.mark.parametrize("size", [(8, 8), (24, 32), (75, 100), (112, 150), (225, 300)])
def test_any_size_has_numbers_and_they_are_finite(size: tuple[int, int]) -> None:
    flat = torch.full((1, *size, 3), 128, dtype=torch.uint8)
    for pixels in (spots(size=size), flat, torch.zeros_like(flat), torch.full_like(flat, 255)):
        assert Appearance()(pixels).isfinite().all()


def test_the_numbers_are_at_most_sixty_four() -> None:
    assert Appearance()(spots(size=(225, 300))).shape == (1, 58)


def test_colours_are_those_of_double_precision() -> None:
    rng = np.random.default_rng(0)
    for pixels in (spots(), torch.from_numpy(rng.integers(0, 256, (1, 60, 80, 3), np.uint8))):
        logs = np.log(pixels.numpy().reshape(-1, 3) / 255 + 0.05)
        axes = logs @ np.array([[1 / 3, 1 / 3, 1 / 3], [1, -1, 0], [0.5, 0.5, -1]]).T
        between = np.corrcoef(axes.T)
        expected = [*axes.mean(0), *np.log(axes.std(0)), between[0, 1], between[0, 2], between[1, 2]]
        np.testing.assert_allclose(Appearance()(pixels)[0, :9], expected, atol=1e-2)


@pytest.mark.parametrize("colour", [(0, 0, 0), (255, 255, 255), (255, 0, 0), (0, 0, 255), (90, 60, 50)])
def test_a_picture_of_one_colour_has_no_wild_numbers(colour: tuple[int, int, int]) -> None:
    numbers = Appearance()(torch.tensor(colour, dtype=torch.uint8).expand(1, 270, 360, 3))[0]
    assert numbers[3:6].max() < -3
    assert numbers[6:9].abs().max() <= 1


def test_less_light_shifts_only_the_mean() -> None:
    bright, dim = Appearance()(spots()), Appearance()(picture(values(spots()) * 0.8))
    moved = (bright - dim).abs()[0]
    assert moved[0] > 0.15
    assert moved[1:].max() < 0.15


def test_grey_pictures_have_no_spread_of_colour() -> None:
    grey_spots = picture(values(spots()).mean(1, keepdim=True).expand(-1, 3, -1, -1))
    colour, grey = Appearance()(spots()), Appearance()(grey_spots)
    assert (colour[0, 4:6] - grey[0, 4:6]).min() > 1


def test_blur_shows_in_how_steps_fall_from_level_to_level() -> None:
    sharp = spots()
    blurred = picture(avg_pool2d(values(sharp), 5, stride=1, padding=2, count_include_pad=False))
    fall = (Appearance()(sharp) - Appearance()(blurred))[0, -7:]
    assert fall.abs().max() > 0.5


def test_a_dark_middle_shows() -> None:
    assert Appearance()(spots())[0, 9] < -0.05
    assert Appearance()(spots().flip(1).roll(24, 1))[0, 9] > 0


def test_turning_by_half_changes_nothing() -> None:
    torch.testing.assert_close(Appearance()(spots().flip((1, 2))), Appearance()(spots()), atol=1e-4, rtol=0)
