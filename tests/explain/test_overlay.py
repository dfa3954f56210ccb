import numpy as np
import pandas as pd
import pytest
import torch

from conftest import make_recipe
from lesionwise.data.images import centred_slices
from lesionwise.data.masks import fit_mask
from lesionwise.explain.cam import Method, class_maps, stretch_maps
from lesionwise.explain.overlay import draw_overlay, worth_showing
from lesionwise.models.network import Network
from lesionwise.training.step.augment import evaluation_view

RECIPE = make_recipe(image_size=[96, 128], eval_size=[64, 88], eval_zoom=1.43)


def test_the_view_is_the_one_that_evaluation_cuts() -> None:
    recipe = make_recipe(image_size=[96, 128], eval_size=[67, 90], eval_zoom=1.43)
    pixels = np.random.default_rng(0).integers(0, 256, (1, 96, 128, 3), np.uint8)
    rows, columns = centred_slices(recipe.image_size, recipe.eval_zoom)
    seen = evaluation_view(torch.from_numpy(pixels), recipe)
    torch.testing.assert_close(seen, torch.from_numpy(pixels[:, rows, columns]).permute(0, 3, 1, 2) / 255)


@pytest.mark.parametrize(("row", "column"), [(150, 210), (290, 380), (225, 300), (160, 400)])
def test_photograph_mask_and_map_lie_on_one_another(red_is_melanoma: Network, row: int, column: int) -> None:
    lesion = np.zeros((450, 600), bool)
    lesion[row - 25 : row + 25, column - 25 : column + 25] = True
    photograph = np.where(lesion[..., None], [255, 0, 0], [0, 0, 60]).astype(np.uint8)
    cached = photograph[:: 450 // 90, :: 600 // 120][:90, :120]
    recipe = make_recipe(image_size=[90, 120], eval_size=[64, 84], eval_zoom=1.43)
    views = evaluation_view(torch.from_numpy(cached[None].copy()), recipe)
    maps = class_maps(red_is_melanoma, views, torch.tensor([4]), Method.cam)
    rows, columns = centred_slices(recipe.image_size, recipe.eval_zoom)
    mask = fit_mask(lesion, recipe.image_size)[rows, columns]
    stretched = np.maximum(stretch_maps(maps, mask.shape)[0], 0)
    on_lesion = (stretched * mask).sum() / stretched.sum()
    assert on_lesion > 0.65
    assert on_lesion / mask.mean() > 8
    centres = [np.argwhere(values > values.max() / 2).mean(axis=0) for values in (stretched, mask)]
    assert np.abs(centres[0] - centres[1]).max() < 2.5  # of places that are four pixels wide


def test_what_the_model_does_not_see_is_darker_and_holds_no_colour() -> None:
    picture = np.full((96, 128, 3), 200, np.uint8)
    rows, columns = centred_slices((96, 128), RECIPE.eval_zoom)
    values = np.ones((4, 5), np.float32)
    inside = np.zeros((96, 128), bool)
    inside[rows, columns] = True
    for style in ("photograph", "colour", "contour"):
        drawn = draw_overlay(picture, values, RECIPE, style=style)
        assert (drawn[~inside] == 110).all()
    assert (draw_overlay(picture, values, RECIPE, style="photograph")[inside] == 200).all()
    assert (draw_overlay(picture, -values, RECIPE, style="colour")[inside] == 200).all()
    yellow = draw_overlay(picture, values, RECIPE, style="colour")[inside]
    assert (yellow[:, 0] > yellow[:, 2] + 50).all()


def test_missed_melanomas_and_sure_answers_are_shown() -> None:
    table = pd.DataFrame(
        {
            "image_id": list("abcdef"),
            "true": ["mel", "mel", "nv", "nv", "nv", "mel"],
            "predicted": ["nv", "mel", "nv", "nv", "nv", "bkl"],
            "confidence": [0.6, 0.7, 0.5, 0.9, 0.8, 0.99],
        }
    )
    assert worth_showing(table) == ["b", "d", "e", "f", "a"]
