import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from conftest import WriteKaggle, make_recipe
from lesionwise.errors import LeakError, RecipeError
from lesionwise.files import read_json
from lesionwise.recipe import load_recipe
from lesionwise.run_folder import RunFolder
from lesionwise.split.split_file import read_split
from lesionwise.training.fit import fresh_network, load_best_network
from lesionwise.training.run import train
from lesionwise.training.start import made_with, verify_unseen


@pytest.fixture(scope="module")
def first(drawn_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A run to go on from."""
    return train(make_recipe(epochs=1), drawn_folder, out=tmp_path_factory.mktemp("first") / "run")


def test_a_training_starts_from_all_weights_of_the_run(first: RunFolder) -> None:
    recipe = make_recipe(weights=str(first.path))
    start = fresh_network(recipe, weights=recipe.weights).state_dict()
    theirs = load_best_network(first, load_recipe(first.config)).state_dict()
    assert start.keys() == theirs.keys()
    assert all(torch.equal(start[name], theirs[name]) for name in theirs)


def test_a_test_part_that_the_first_training_saw_is_refused(first: RunFolder, drawn_folder: Path) -> None:
    recipe = make_recipe(epochs=1, weights=str(first.path))
    with pytest.raises(LeakError, match=r"test images, such as DRAWN.*made the weights.*Pass \"--split"):
        train(recipe, drawn_folder, out="second", seed=1)
    assert not Path("second", "checkpoints").exists()


@pytest.mark.parametrize("held", ["test", "cal"])
def test_images_that_a_merge_renamed_are_found_among_those_of_the_first_training(
    first: RunFolder, held: str
) -> None:
    rows = read_split(first.split).frame.query("part == 'train'").head(3)
    table = pd.DataFrame({"image_id": "B-" + rows["image_id"], "lesion_id": "B-" + rows["group"]})
    part, group = np.repeat(np.array([held]), 3), table["lesion_id"].to_numpy(str)
    verify_unseen(str(first.path), table, part, group)
    table["original_image_id"] = rows["image_id"] + ";other"
    with pytest.raises(LeakError, match=f"3 of 3 {held} images, such as B-"):
        verify_unseen(str(first.path), table, part, group)


def test_cal_of_the_same_split_may_be_used_again(first: RunFolder) -> None:
    rows = read_split(first.split).frame.assign(lesion_id=lambda frame: frame["group"])
    verify_unseen(str(first.path), rows, rows["part"].to_numpy(str), rows["group"].to_numpy(str))


def test_what_was_trained_before_is_carried_along_from_run_to_run(
    first: RunFolder, write_kaggle: WriteKaggle, tmp_path: Path
) -> None:
    other = write_kaggle(tmp_path / "other")
    table = pd.read_csv(other / "HAM10000_metadata.csv")
    renamed = table.assign(**{key: "OTHER_" + table[key] for key in ("lesion_id", "image_id")})
    renamed.to_csv(other / "HAM10000_metadata.csv", index=False)
    for path in sorted(other.rglob("*.jpg")):
        path.rename(path.with_name(f"OTHER_{path.name}"))
    second = train(make_recipe(epochs=1, weights=str(first.path)), other, out=tmp_path / "second")
    kept = read_json(second.start)
    assert kept["run"] == "run"
    assert set(kept["made_with"]) == set(made_with(first))
    assert set(made_with(first)) < set(made_with(second))
    shutil.move(first.path, tmp_path / "gone")  # the digests do not need the first run
    assert set(kept["made_with"]) < set(made_with(second))
    shutil.move(tmp_path / "gone", first.path)


def test_other_networks_and_bundles_are_refused(first: RunFolder, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"trained with model='small', but this recipe has 'seed-mlp'"):
        fresh_network(make_recipe(model="seed-mlp"), weights=str(first.path))
    bundle = tmp_path / "model.onnx"
    bundle.touch()
    recipe = make_recipe(model="timm:mobilenetv2_050")
    with pytest.raises(RecipeError, match="Name the run folder that it was exported from"):
        fresh_network(recipe, weights=str(bundle))
