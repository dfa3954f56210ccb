import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from conftest import WriteKaggle, make_recipe
from lesionwise.bundle.description import image_digest
from lesionwise.bundle.load import read_bundle
from lesionwise.bundle.seen import digests_of_seen
from lesionwise.errors import LeakError, RecipeError
from lesionwise.evaluation.predictions import read_predictions
from lesionwise.export.run import export_run
from lesionwise.files import read_json
from lesionwise.models.unfold import measure_statistics
from lesionwise.recipe import load_recipe
from lesionwise.run_folder import RunFolder
from lesionwise.split.split_file import read_split, write_split
from lesionwise.training.fit import fresh_network, load_best_network
from lesionwise.training.run import train
from lesionwise.training.start import made_with, verify_unseen
from lesionwise.training.start_weights import load_bundle


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
    split = read_split(first.split)
    verify_unseen(str(first.path), table, part, group, split)
    table["original_image_id"] = rows["image_id"] + ";other"
    with pytest.raises(LeakError, match=f"3 of 3 {held} images, such as B-"):
        verify_unseen(str(first.path), table, part, group, split)


def test_a_run_of_a_merge_carries_the_names_that_its_images_had_before(
    first: RunFolder, tmp_path: Path
) -> None:
    run = RunFolder(tmp_path / "merged")
    split = read_split(first.split)
    write_split(split, run.split)
    rows = split.frame[split.frame["part"].isin(["train", "test"])].groupby("part").head(1)
    originals = {"image_id": rows["image_id"], "original_image_id": "CLINIC_" + rows["part"]}
    pd.DataFrame({**originals, "original_lesion_id": "LESION_" + rows["part"] + ";X"}).to_csv(
        run.originals, index=False
    )
    named = {image_digest(name) for name in ("CLINIC_train", "LESION_train", "X")}
    assert set(made_with(run)) == set(made_with(first)) | named


def test_cal_of_the_same_split_may_be_used_again(first: RunFolder) -> None:
    split = read_split(first.split)
    rows = split.frame.assign(lesion_id=lambda frame: frame["group"])
    verify_unseen(str(first.path), rows, rows["part"].to_numpy(str), rows["group"].to_numpy(str), split)


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


def test_another_network_is_refused(first: RunFolder) -> None:
    with pytest.raises(RecipeError, match=r"trained with model='small', but this recipe has 'seed-mlp'"):
        fresh_network(make_recipe(model="seed-mlp"), weights=str(first.path))


@pytest.fixture(scope="module")
def bundle(first: RunFolder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same as a bundle."""
    return export_run(first, tmp_path_factory.mktemp("bundle") / "model.onnx").path


def test_a_network_from_a_bundle_answers_as_the_run_that_it_was_exported_from(
    first: RunFolder, bundle: Path
) -> None:
    recipe = make_recipe(weights=str(bundle))
    images = torch.rand(4, 3, 24, 32, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        theirs = load_best_network(first, recipe).eval()(images)
        own = fresh_network(recipe, weights=recipe.weights).eval()(images)
    assert torch.allclose(theirs, own, atol=1e-5)


def test_statistics_of_the_training_images_change_no_answer_and_standardise_each_channel(
    bundle: Path,
) -> None:
    recipe = make_recipe(weights=str(bundle))
    network = fresh_network(recipe, weights=recipe.weights).eval()
    images = torch.rand(32, 3, 24, 32, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        before = network(images)
        measure_statistics(network, [images])
        after = network.eval()(images)
        trained = network.train()(images)
    assert torch.allclose(before, after, atol=1e-5)
    assert torch.allclose(before, trained, atol=0.05)  # a batch of the same images has the same statistics


def test_a_training_goes_on_from_a_bundle_and_carries_its_images_along(
    first: RunFolder, bundle: Path, drawn_folder: Path, tmp_path: Path
) -> None:
    recipe = make_recipe(epochs=1, weights=str(bundle))
    run = train(recipe, drawn_folder, out=tmp_path / "run", split=first.split)
    kept = read_json(run.start)
    assert kept["run"] == "model.onnx"
    assert set(kept["made_with"]) == set(made_with(first))
    assert set(kept["trained_on"]) == set(made_with(first)) - set(_of(first, "cal"))
    with pytest.raises(LeakError, match=r"test images, such as DRAWN.*made the weights.*its own split"):
        train(recipe, drawn_folder, out=tmp_path / "other", seed=1)


def test_a_training_with_the_weights_of_a_bundle_starts_where_it_stopped(
    first: RunFolder, bundle: Path, drawn_folder: Path, tmp_path: Path
) -> None:
    still = make_recipe(epochs=1, weights=str(bundle), lr=1e-9, ema=0.0)
    run = train(still, drawn_folder, out=tmp_path / "run", split=first.split)
    theirs, own = (read_predictions(folder.predictions("cal")) for folder in (first, run))
    assert np.abs(theirs.y_prob - own.y_prob).max() < 0.1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"precision": "int8"}, "holds rounded weights"),
        ({"provenance": None}, "was imported"),
    ],
)
def test_a_bundle_without_weights_that_can_be_trained_is_refused(
    bundle: Path, changes: dict[str, object], message: str
) -> None:
    whole = read_bundle(bundle)
    changed = replace(whole, description=whole.description.model_copy(update=changes))
    with pytest.raises(RecipeError, match=message):
        load_bundle(fresh_network(make_recipe()), changed, make_recipe())


def test_a_network_that_does_not_answer_as_its_bundle_is_refused(bundle: Path) -> None:
    whole = read_bundle(bundle)
    provenance = whole.description.provenance
    assert provenance
    closer = provenance.model_copy(update={"recipes": ({**provenance.recipes[0], "eval_zoom": 2.0},)})
    changed = replace(whole, description=whole.description.model_copy(update={"provenance": closer}))
    with pytest.raises(RecipeError, match="does not answer like the bundle"):
        load_bundle(fresh_network(make_recipe()), changed, make_recipe())


def _of(run: RunFolder, part: str) -> tuple[str, ...]:
    frame = read_split(run.split).frame
    rows = frame[frame["part"] == part]
    return digests_of_seen(rows["image_id"].tolist(), rows["group"].unique().tolist())
