import numpy as np
import pytest
import torch

from lesionwise.explain.deletion import STEPS, answer_curves, area_under, cell_values
from lesionwise.models.network import Network

MELANOMA = torch.tensor([4])


def _image() -> torch.Tensor:
    images = torch.full((1, 3, 16, 16), 0.2)
    images[0, 2] = 0.4
    images[0, 0, :8, :8] = 0.9
    return images


def test_a_faithful_order_takes_the_answer_away_and_brings_it_back_sooner(red_is_melanoma: Network) -> None:
    faithful = torch.zeros(1, 4, 4)
    faithful[0, :2, :2] = 1
    curves = answer_curves(red_is_melanoma, _image(), MELANOMA, {"own": faithful, "other": -faithful})
    ends = {name: float(area_under(curve)[0]) for name, curve in curves.items()}
    assert ends["deletion-own"] < ends["deletion-other"] - 0.1
    assert ends["insertion-own"] > ends["insertion-other"] + 0.1


def test_curves_begin_and_end_with_the_whole_image_and_with_nothing(red_is_melanoma: Network) -> None:
    images = _image()
    curves = answer_curves(red_is_melanoma, images, MELANOMA, {"own": torch.rand(1, 4, 4)})
    red_is_melanoma.requires_grad_(requires_grad=False)
    whole = float(red_is_melanoma(images).double().softmax(1)[0, 4])
    mean = images.mean((2, 3), keepdim=True).expand_as(images)
    nothing = float(red_is_melanoma(mean).double().softmax(1)[0, 4])
    for name, ends in (("deletion-own", (whole, nothing)), ("insertion-own", (nothing, whole))):
        assert curves[name].shape == (1, STEPS + 1)
        assert curves[name][0, [0, -1]].tolist() == pytest.approx(list(ends))


def test_the_area_under_a_straight_line_is_its_middle() -> None:
    assert area_under(np.linspace(1, 0, 11)) == pytest.approx(0.5)
    assert area_under(np.ones((3, 11))) == pytest.approx(np.ones(3))


def test_fine_maps_are_averaged_to_cells_and_coarse_ones_stay() -> None:
    fine = torch.rand(2, 96, 128)
    assert cell_values(fine).shape == (2, 12, 16)
    torch.testing.assert_close(cell_values(fine)[0, 0, 0], fine[0, :8, :8].mean())
    assert cell_values(torch.rand(2, 6, 8)).shape == (2, 6, 8)
