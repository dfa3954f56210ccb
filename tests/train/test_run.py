import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from conftest import WriteKaggle, make_recipe
from lesionwise.data.dataset import Dataset
from lesionwise.errors import LeakError, RunError
from lesionwise.evaluate.predictions import read_predictions
from lesionwise.recipe import load_recipe
from lesionwise.run_folder import RunFolder, read_json
from lesionwise.split.assign import make_split
from lesionwise.split.split_file import read_split, write_split
from lesionwise.train.run import predict_test, train

RECIPE = {
    "optimizer": "adamw", "schedule": "one_cycle", "drop_rate": 0.2, "ema": 0.9, "rotation": 30,
    "flip": True, "brightness": 0.1, "epochs": 4,
}  # fmt: skip


def weights(run: RunFolder, name: str = "last.ckpt") -> dict[str, torch.Tensor]:
    state: dict[str, torch.Tensor] = torch.load(run.checkpoints / name, weights_only=True)["state_dict"]
    return state


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


@pytest.fixture(scope="module")
def trained(drawn_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    folder = tmp_path_factory.mktemp("trained")
    return train(make_recipe(**RECIPE), drawn_folder, out=folder / "run", cache_root=folder / "cache")


def test_a_run_leaves_every_file_of_the_contract(trained: RunFolder) -> None:
    names = {path.name for path in trained.path.iterdir()}
    assert names == {
        "config.toml", "data.json", "environment.json", "split.csv", "split.json", "history.csv",
        "timing.json", "checkpoints", "predictions-val.csv", "predictions-cal.csv",
    }  # fmt: skip
    assert {path.name for path in trained.checkpoints.iterdir()} == {"best.ckpt", "last.ckpt"}
    assert load_recipe(trained.config) == make_recipe(**RECIPE)


def test_the_test_part_is_not_predicted_by_training(trained: RunFolder) -> None:
    test_ids = set(read_split(trained.split).image_ids("test"))
    for part in ("val", "cal"):
        assert not test_ids & set(read_predictions(trained.predictions(part)).image_id)


def test_history_has_a_row_per_epoch(trained: RunFolder) -> None:
    history = pd.read_csv(trained.history)
    assert history["epoch"].tolist() == [0, 1, 2, 3]
    assert history.notna().all().all()


def test_predictions_know_truth_groups_and_sum_to_one(trained: RunFolder, drawn: Dataset) -> None:
    predictions = read_predictions(trained.predictions("val"))
    lesions = drawn.table.set_index("image_id")["lesion_id"]
    assert predictions.group is not None
    assert predictions.y_true is not None
    assert predictions.group.tolist() == lesions[predictions.image_id].tolist()
    np.testing.assert_allclose(predictions.y_prob.sum(1), 1, atol=1e-6)


def test_a_network_learns_the_drawn_colours(trained: RunFolder) -> None:
    history = pd.read_csv(trained.history)
    assert history["train_loss"].iloc[-1] < history["train_loss"].iloc[0]


def test_the_same_seed_gives_the_same_bits_and_another_seed_others(
    trained: RunFolder, drawn_folder: Path, tmp_path: Path
) -> None:
    again = train(make_recipe(**RECIPE), drawn_folder, out=tmp_path / "a")
    other = train(make_recipe(**RECIPE), drawn_folder, out=tmp_path / "b", seed=1, split=trained.split)
    assert same(weights(trained), weights(again))
    assert not same(weights(trained), weights(other))


KILLED = """
import os, signal, sys
from lesionwise.recipe import load_recipe
from lesionwise.train.run import train
def stop(row):
    if row["epoch"] == 2:
        os.kill(os.getpid(), signal.SIGKILL)
if __name__ == "__main__":
    train(load_recipe(sys.argv[1]), sys.argv[2], out=sys.argv[3], on_epoch=stop)
"""


def test_a_killed_run_resumes_to_the_weights_of_the_unbroken_one(
    trained: RunFolder, drawn_folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "killed"
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(make_recipe(**RECIPE).to_toml())
    process = subprocess.run(
        [sys.executable, "-c", KILLED, recipe, drawn_folder, out], check=False, timeout=120
    )
    assert process.returncode == -signal.SIGKILL
    assert not (out / "predictions-val.csv").exists()
    resumed = train(make_recipe(**RECIPE), drawn_folder, out=out, resume=True)
    assert same(weights(trained), weights(resumed))
    assert same(weights(trained, "best.ckpt"), weights(resumed, "best.ckpt"))
    columns = ["epoch", "train_loss", "val_loss", "val_balanced_accuracy", "lr"]
    pd.testing.assert_frame_equal(
        pd.read_csv(trained.history)[columns], pd.read_csv(resumed.history)[columns]
    )
    assert trained.predictions("val").read_bytes() == resumed.predictions("val").read_bytes()


def test_a_used_folder_is_refused_without_resume(trained: RunFolder, drawn_folder: Path) -> None:
    with pytest.raises(RunError, match=r"is not empty\. Pass --resume"):
        train(make_recipe(**RECIPE), drawn_folder, out=trained.path)


def test_resuming_with_another_recipe_is_refused(trained: RunFolder, drawn_folder: Path) -> None:
    with pytest.raises(RunError, match="was started with another recipe"):
        train(make_recipe(**{**RECIPE, "lr": 0.5}), drawn_folder, out=trained.path, resume=True)


def test_a_leaking_split_stops_training_by_name(drawn_folder: Path, drawn: Dataset, tmp_path: Path) -> None:
    write_split(make_split(drawn, by="image"), tmp_path / "split.csv")
    (tmp_path / "split.json").unlink()  # nothing says any more that it leaks
    with pytest.raises(LeakError, match=r"split\.csv: lesion LESION_\d+ is in "):
        train(make_recipe(), drawn_folder, out=tmp_path / "run", split=tmp_path / "split.csv")


def test_a_split_by_image_stamps_its_run(drawn_folder: Path, tmp_path: Path) -> None:
    run = train(make_recipe(epochs=1), drawn_folder, out=tmp_path / "run", by="image")
    assert read_json(run.split.with_suffix(".json"))["stamp"] == "LEAKY SPLIT"
    predictions = read_predictions(run.predictions("val"))
    assert predictions.group is not None
    assert not set(predictions.group) & set(predictions.image_id)  # intervals still resample lesions


def test_early_stopping_stops(drawn_folder: Path, tmp_path: Path) -> None:
    recipe = make_recipe(epochs=30, lr=1e-9, early_stopping=2, monitor="val_accuracy")
    run = train(recipe, drawn_folder, out=tmp_path / "run")
    assert len(pd.read_csv(run.history)) < 10


def test_looking_at_the_test_part_is_counted_beside_the_split(
    drawn_folder: Path, drawn: Dataset, tmp_path: Path
) -> None:
    (tmp_path / "splits").mkdir()
    split = tmp_path / "splits" / "split.csv"
    write_split(make_split(drawn), split)
    run = train(make_recipe(epochs=1), drawn_folder, out=tmp_path / "run", split=split)
    assert [predict_test(run), predict_test(run)] == [1, 2]
    ledger = pd.read_csv(tmp_path / "splits" / "test-ledger.csv")
    assert ledger["run"].tolist() == ["run", "run"]
    assert ledger["split_fingerprint"].nunique() == 1
    assert set(read_predictions(run.predictions("test")).image_id) == set(read_split(split).image_ids("test"))


def test_data_that_changed_since_training_is_not_tested_on(tmp_path: Path, write_kaggle: WriteKaggle) -> None:
    folder = write_kaggle(tmp_path / "data")
    run = train(make_recipe(epochs=1), folder, out=tmp_path / "run")
    changed = min((folder / "HAM10000_images_part_1").iterdir())
    Image.open(changed).save(changed, quality=30)
    with pytest.raises(RunError, match="its content changed"):
        predict_test(run)
