from pathlib import Path

import numpy as np
import pytest
import torch

from conftest import make_recipe
from lesionwise.data.cache import open_cache
from lesionwise.data.dataset import Dataset
from lesionwise.errors import RunError, SplitError
from lesionwise.evaluation.predictions import read_predictions
from lesionwise.files import read_json
from lesionwise.recipe import Recipe, load_recipe, recipe_names
from lesionwise.training.defects import (
    augmented_copies,
    draw_copies,
    image_of,
    make_copies,
    names_copies,
)
from lesionwise.training.ledger import predict_held_out, predict_test
from lesionwise.training.run import train


def test_copies_have_the_pixels_and_the_lesion_of_their_image(drawn: Dataset) -> None:
    cache = open_cache(drawn, (24, 32))
    copies, pixels = make_copies(drawn, cache, draw_copies(drawn, per_class=40, seed=0))
    assert copies.table["dx"].value_counts().tolist() == [40] * 7
    assert copies.table["image_id"].is_unique
    assert copies.table["image_id"].is_monotonic_increasing
    originals = {image: row for row, image in enumerate(drawn.table["image_id"])}
    for row in (0, 99, 279):
        image, _, _ = copies.table["image_id"][row].partition("#")
        assert np.array_equal(pixels.pixels[row], cache.pixels[originals[image]])
        assert copies.table["lesion_id"][row] == drawn.table["lesion_id"][originals[image]]


def test_a_run_with_copies_leaks_is_stamped_and_can_be_tested_again(
    drawn_folder: Path, tmp_path: Path
) -> None:
    recipe = make_recipe(epochs=1, defect_resample_before_split=60)
    run = train(recipe, drawn_folder, out=tmp_path / "run", seed=4)
    assert read_json(run.split.with_suffix(".json"))["stamp"] == "LEAKY SPLIT"
    predict_test(run)
    tested = read_predictions(run.predictions("test")).image_id
    trained = [line.split("#")[0] for line in run.split.read_text().splitlines() if ",train," in line]
    leaked = [image for image in tested if image.split("#")[0] in set(trained)]
    assert len(leaked) > len(tested) / 4


def test_augmented_copies_are_named_by_their_copy_and_look_alike_but_not_equal(drawn: Dataset) -> None:
    cache = open_cache(drawn, (24, 32))
    names = augmented_copies(draw_copies(drawn, per_class=3, seed=0), 2)
    assert len(names) == len(set(names)) == 7 * 3 * 3
    copies, made = make_copies(drawn, cache, names)
    first = copies.table["image_id"][0]
    assert image_of(first) == first.partition("#")[0]
    rows = {name: row for row, name in enumerate(copies.table["image_id"])}
    plain, changed, other = (
        made.pixels[rows[name]].astype(int) for name in (first, f"{first}~1", f"{first}~2")
    )
    assert not np.array_equal(plain, changed)
    assert not np.array_equal(changed, other)
    assert abs(plain.mean((0, 1)) - changed.mean((0, 1))).max() < 8


def test_a_name_gives_the_same_pixels_whatever_else_is_made(drawn: Dataset) -> None:
    cache = open_cache(drawn, (24, 32))
    names = augmented_copies(draw_copies(drawn, per_class=3, seed=0), 1)
    every, some = (make_copies(drawn, cache, chosen) for chosen in (names, names[::-5]))
    rows = [every[0].table["image_id"].tolist().index(name) for name in some[0].table["image_id"]]
    assert np.array_equal(every[1].pixels[rows], some[1].pixels)


def test_copies_are_told_from_images_whose_ids_hold_a_number_sign(drawn: Dataset) -> None:
    ids = drawn.table["image_id"].tolist()
    assert not names_copies(ids, drawn)
    assert names_copies([f"{ids[0]}#0"], drawn)
    with pytest.raises(SplitError, match="other#0: is a copy of an image that the data do not have"):
        make_copies(drawn, open_cache(drawn, (24, 32)), ["other#0"])


def test_the_final_exam_is_not_predicted_as_a_held_out_part(drawn_folder: Path, tmp_path: Path) -> None:
    run = train(make_recipe(epochs=1), drawn_folder, out=tmp_path / "run")
    with pytest.raises(RunError, match="its test part is the final exam"):
        predict_held_out(run)
    assert not run.predictions("test").exists()


def test_own_statistics_change_predictions_but_not_weights(drawn_folder: Path, tmp_path: Path) -> None:
    runs = [
        train(make_recipe(epochs=1, defect_own_statistics=defect), drawn_folder, out=tmp_path / str(defect))
        for defect in (False, True)
    ]
    first, second = (
        torch.load(run.checkpoints / "best.ckpt", weights_only=True)["state_dict"] for run in runs
    )
    assert all(torch.equal(first[key], second[key]) for key in first)
    honest, shifted = (read_predictions(run.predictions("val")).y_prob for run in runs)
    assert not np.allclose(honest, shifted, atol=1e-6)


@pytest.mark.parametrize("name", recipe_names())
def test_defects_are_off_in_every_shipped_recipe(name: str) -> None:
    recipe = load_recipe(name)
    assert recipe.defect_resample_before_split is None
    assert not recipe.defect_own_statistics


@pytest.mark.parametrize("key", ["defect_resample_before_split", "defect_own_statistics"])
def test_the_documentation_calls_a_defect_a_defect(key: str) -> None:
    assert str(Recipe.model_fields[key].description).startswith("A DEFECT")
