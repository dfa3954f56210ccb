import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from conftest import WriteKaggle, make_recipe
from lesionwise.cli.options import split_or_unit
from lesionwise.data.dataset import Dataset
from lesionwise.errors import BusyError, DataError, LeakError, RecipeError, RunError, SplitError
from lesionwise.evaluation.predictions import read_predictions
from lesionwise.execution import Execution
from lesionwise.files import read_json, sole_writer
from lesionwise.recipe import load_recipe
from lesionwise.run_folder import RunFolder
from lesionwise.split.assign import make_split
from lesionwise.split.split_file import read_split, write_split
from lesionwise.training.ledger import predict_test
from lesionwise.training.loop.trainer import Checkpoint
from lesionwise.training.run import train

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
    return train(
        make_recipe(**RECIPE),
        drawn_folder,
        out=folder / "run",
        execution=Execution(cache_root=folder / "cache"),
    )


def test_a_run_leaves_every_file_of_the_contract(trained: RunFolder) -> None:
    names = {path.name for path in trained.path.iterdir()}
    assert names == {
        "config.toml", "data.json", "environment.json", "split.csv", "split.json", "history.csv",
        "timing.json", "checkpoints", "predictions-val.csv", "predictions-cal.csv",
        "calibration.json", "embeddings-train.npy", "embeddings-cal.npy",
        "embeddings-train-changed.npy", "embeddings-cal-changed.npy", "embeddings-outsiders.npy",
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
    assert predictions.group.tolist() == lesions[predictions.image_id.tolist()].tolist()
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


def test_a_batch_in_parts_trains_a_network_without_batch_norm_as_the_whole_batch_does(
    drawn_folder: Path, tmp_path: Path
) -> None:
    keys = {
        "model": "seed-mlp",
        "drop_rate": 0.0,
        "mean": [0.5] * 3,
        "std": [0.25] * 3,
        "schedule": "one_cycle",
    }
    keys |= {"optimizer": "sgd", "flip": True, "sampling": 0.5, "class_weight": 0.5, "ema": 0.9}
    runs = [
        train(make_recipe(**keys, accumulate=parts), drawn_folder, out=tmp_path / str(parts))
        for parts in (1, 4)
    ]
    whole, parted = (weights(run) for run in runs)
    for name, value in whole.items():
        torch.testing.assert_close(parted[name], value, atol=1e-5, rtol=1e-4)
    histories = [pd.read_csv(run.history) for run in runs]
    np.testing.assert_allclose(histories[1]["train_loss"], histories[0]["train_loss"], rtol=1e-4)
    steps = [torch.load(run.checkpoints / "last.ckpt", weights_only=True)["global_step"] for run in runs]
    assert steps[0] == steps[1] > 0


LIFE = """
import os, signal, sys
from lesionwise.recipe import load_recipe
from lesionwise.training.run import train
from lesionwise.execution import Execution
from lesionwise.progress import Progress
class Stop(Progress):
    def on_epoch(self, row):
        if sys.argv[4] == "killed" and row["epoch"] == 2:
            os.kill(os.getpid(), signal.SIGKILL)
if __name__ == "__main__":
    resume = sys.argv[4] == "resumed"
    train(load_recipe(sys.argv[1]), sys.argv[2], out=sys.argv[3], resume=resume,
          execution=Execution(progress=Stop()))
"""


def test_a_killed_run_resumes_to_the_weights_of_the_unbroken_one(drawn_folder: Path, tmp_path: Path) -> None:
    """Each in a process of its own: threads and rounding of this one are as other tests left them."""
    recipe = tmp_path / "recipe.toml"
    drawn = {"jpeg": 40, "noise": 0.03, "views": 2, "consistency": 1.0, "accumulate": 2}
    recipe.write_text(make_recipe(**RECIPE, **drawn).to_toml())

    def live(out: RunFolder, how: str) -> int:
        command: list[str | Path] = [sys.executable, "-c", LIFE, recipe, drawn_folder, out.path, how]
        return subprocess.run(command, check=False, timeout=240).returncode

    whole, broken = RunFolder(tmp_path / "whole"), RunFolder(tmp_path / "broken")
    assert live(whole, "whole") == 0
    assert live(broken, "killed") == -signal.SIGKILL
    assert not broken.predictions("val").exists()
    broken = RunFolder(broken.path.rename(tmp_path / "moved"))
    cut = RunFolder(Path(shutil.copytree(broken.path, tmp_path / "cut")))
    os.truncate(cut.last, cut.last.stat().st_size // 2)
    for run in (broken, cut):
        assert live(run, "resumed") == 0
        assert same(weights(whole), weights(run))
        assert same(weights(whole, "best.ckpt"), weights(run, "best.ckpt"))
        assert not run.before_last.exists()
    columns = ["epoch", "train_loss", "val_loss", "val_balanced_accuracy", "lr"]
    pd.testing.assert_frame_equal(pd.read_csv(whole.history)[columns], pd.read_csv(broken.history)[columns])
    assert whole.predictions("val").read_bytes() == broken.predictions("val").read_bytes()


def test_a_used_folder_is_refused_without_resume(trained: RunFolder, drawn_folder: Path) -> None:
    with pytest.raises(RunError, match=r"is not empty\. Pass --resume"):
        train(make_recipe(**RECIPE), drawn_folder, out=trained.path)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"recipe": {"lr": 0.5}}, r"recipe \(lr was 0\.001, now 0\.5\)"),
        ({"recipe": {"epochs": 3}}, r"recipe \(epochs was 4, now 3\)"),
        ({"seed": 1}, r"--seed \(--seed was 0, now 1\)"),
        ({"split": "image"}, "--by"),
        ({"split": 7}, "--split"),
    ],
)
def test_a_run_is_continued_as_it_was_begun(
    *,
    change: dict[str, Any],
    named: str,
    trained: RunFolder,
    drawn_folder: Path,
    drawn: Dataset,
    tmp_path: Path,
) -> None:
    recipe = make_recipe(**{**RECIPE, **change.pop("recipe", {})})
    if change.get("split") == 7:
        write_split(make_split(drawn, seed=change["split"]), tmp_path / "other.csv")
        change = {"split": tmp_path / "other.csv"}
    with pytest.raises(RunError, match=f"was started with another {named}"):
        train(recipe, drawn_folder, out=trained.path, resume=True, **change)


def test_a_run_of_a_steady_rate_trains_on_to_the_weights_of_a_longer_one(
    drawn_folder: Path, tmp_path: Path
) -> None:
    keys = {"optimizer": "adamw", "drop_rate": 0.2, "flip": True}
    long = train(make_recipe(**keys, epochs=3), drawn_folder, out=tmp_path / "long")
    short = train(make_recipe(**keys, epochs=2), drawn_folder, out=tmp_path / "run")
    files = {path: path.read_bytes() for path in short.path.glob("*.*")}
    with pytest.raises(RunError, match="--seed was 0, now 1"):
        train(make_recipe(**keys, epochs=3), drawn_folder, out=short.path, seed=1, resume=True)
    assert {path: path.read_bytes() for path in short.path.glob("*.*")} == files  # a refusal removes nothing
    run = train(make_recipe(**keys, epochs=3), drawn_folder, out=tmp_path / "run", resume=True)
    assert same(weights(run), weights(long))
    assert run.predictions("cal").read_bytes() == long.predictions("cal").read_bytes()
    assert run.calibration.read_bytes() == long.calibration.read_bytes()
    assert load_recipe(run.config).epochs == 3
    (tmp_path / "run" / "predictions-test.csv").touch()
    with pytest.raises(RunError, match="its test part was already predicted"):
        train(make_recipe(**keys, epochs=4), drawn_folder, out=run.path, resume=True)


def test_a_schedule_that_has_ended_is_not_stretched(trained: RunFolder, drawn_folder: Path) -> None:
    longer = make_recipe(**{**RECIPE, "epochs": 6})
    with pytest.raises(RunError, match="epochs was 4, now 6, but its one_cycle schedule spreads"):
        train(longer, drawn_folder, out=trained.path, resume=True)


def test_two_trainings_do_not_write_one_run(drawn_folder: Path, tmp_path: Path) -> None:
    with (
        sole_writer(tmp_path / "run"),
        pytest.raises(BusyError, match=r"run: another process is writing it\. Wait"),
    ):
        train(make_recipe(), drawn_folder, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_resuming_needs_to_know_which_run(drawn_folder: Path) -> None:
    with pytest.raises(RunError, match="Expected --out"):
        train(make_recipe(), drawn_folder, resume=True)


def test_resuming_with_other_images_is_refused(tmp_path: Path, write_kaggle: WriteKaggle) -> None:
    folder = write_kaggle(tmp_path / "data")
    train(make_recipe(epochs=1), folder, out=tmp_path / "run")
    changed = min((folder / "HAM10000_images_part_1").iterdir())
    Image.open(changed).save(changed, quality=30)
    with pytest.raises(RunError, match="its content changed"):
        train(make_recipe(epochs=1), folder, out=tmp_path / "run", resume=True)


def test_resuming_a_finished_run_changes_nothing(trained: RunFolder, drawn_folder: Path) -> None:
    before = {path: path.read_bytes() for path in trained.path.rglob("*.c*") if path.is_file()}
    train(make_recipe(**RECIPE), drawn_folder, out=trained.path, resume=True)
    assert {path: path.read_bytes() for path in before} == before


def test_the_last_checkpoint_is_that_of_the_last_epoch_and_not_of_the_best(
    drawn_folder: Path, tmp_path: Path
) -> None:
    run = train(
        make_recipe(model="seed-mlp", epochs=4, lr=1e-9, monitor="val_accuracy"),
        drawn_folder,
        out=tmp_path / "run",
    )
    epochs = {
        name: torch.load(run.checkpoints / name, weights_only=True)["epoch"]
        for name in ("best.ckpt", "last.ckpt")
    }
    assert epochs == {"best.ckpt": 0, "last.ckpt": 3}


def test_data_that_cannot_be_read_leaves_no_run_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError):
        train(make_recipe(), tmp_path / "nowhere", out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_device_that_is_not_there_is_refused_before_anything_is_written(
    drawn_folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(RunError, match=r"Expected a device of this machine \(cpu\) but got \"mps\""):
        train(make_recipe(), drawn_folder, out=tmp_path / "run", execution=Execution(device="mps"))
    assert not (tmp_path / "run").exists()


def test_a_network_that_cannot_take_the_size_is_refused_by_name(drawn_folder: Path, tmp_path: Path) -> None:
    recipe = make_recipe(model="seed-cnn", train_size=[20, 20])
    with pytest.raises(RecipeError, match=r"seed-cnn cannot take images of \(20, 20\) in training"):
        train(recipe, drawn_folder, out=tmp_path / "run")


def test_a_network_that_asserts_what_it_takes_is_refused_by_name(drawn_folder: Path, tmp_path: Path) -> None:
    recipe = make_recipe(model="timm:vit_tiny_patch16_224", image_size=[64, 64], eval_size=[48, 48])
    with pytest.raises(RecipeError, match=r"vit_tiny_patch16_224 cannot take images of \(64, 64\)"):
        train(recipe, drawn_folder, out=tmp_path / "run")


def test_the_best_epoch_is_known_in_a_folder_that_was_moved(tmp_path: Path) -> None:
    before, after = (
        Checkpoint(tmp_path / name, filename="best", monitor="val_loss") for name in ("before", "after")
    )
    was, now = str(tmp_path / "before" / "best.ckpt"), str(tmp_path / "after" / "best.ckpt")
    before.best_model_path = before.kth_best_model_path = was
    before.best_model_score = torch.tensor(0.8)
    before.best_k_models = {was: torch.tensor(0.8)}
    after.load_state_dict(before.state_dict())
    assert after.best_model_score == torch.tensor(0.8)
    assert after.best_k_models == {now: torch.tensor(0.8)}
    assert (after.best_model_path, after.kth_best_model_path, after.last_model_path) == (now, now, "")


def test_data_without_a_diagnosis_is_refused_before_training(
    tmp_path: Path, write_kaggle: WriteKaggle
) -> None:
    folder = write_kaggle(tmp_path / "data")
    table = pd.read_csv(folder / "HAM10000_metadata.csv")
    table.replace({"dx": {"df": "nv", "vasc": "nv"}}).to_csv(folder / "HAM10000_metadata.csv", index=False)
    with pytest.raises(SplitError, match=r"has no image of df, vasc in cal"):
        train(make_recipe(epochs=1), folder, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_training_that_diverges_says_so(drawn_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="Training diverged in epoch 1"):
        train(make_recipe(lr=1e30, optimizer="sgd"), drawn_folder, out=tmp_path / "run")


def test_a_split_and_a_wish_for_another_one_contradict(
    drawn_folder: Path, trained: RunFolder, tmp_path: Path
) -> None:
    with pytest.raises(SplitError, match="--by image makes a split of its own"):
        split_or_unit(trained.split, "image")
    copies = make_recipe(defect_resample_before_split=50)
    with pytest.raises(SplitError, match="defect_resample_before_split makes a split of its own"):
        train(copies, drawn_folder, out=tmp_path / "b", split=trained.split)


TOLD_TO_STOP = """
import os, signal, sys
from lesionwise.cli import main
import lesionwise.cli.console as console
signal.signal(signal.SIGINT, signal.default_int_handler)  # a program started in the background ignores it
def stop(self, row):
    os.kill(os.getpid(), getattr(signal, os.environ["TOLD"]))
console.Display.on_epoch = stop
main()
"""


@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143)])
def test_a_training_that_is_told_to_stop_says_so_with_its_exit_code(
    name: str, code: int, drawn_folder: Path, tmp_path: Path
) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(make_recipe(**{**RECIPE, "epochs": 50}).to_toml())
    arguments: list[str | Path] = ["train", recipe, "--data", drawn_folder, "--out", tmp_path / "run"]
    command, environment = [sys.executable, "-c", TOLD_TO_STOP, *arguments], {**os.environ, "TOLD": name}
    done = subprocess.run(command, check=False, capture_output=True, timeout=120, env=environment)
    assert done.returncode == code
    assert b"Traceback" not in done.stderr
    if name == "SIGINT":
        assert b"Stopped." in done.stderr


def test_a_leaking_split_stops_training_by_name(drawn_folder: Path, drawn: Dataset, tmp_path: Path) -> None:
    write_split(make_split(drawn, by="image"), tmp_path / "split.csv")
    (tmp_path / "split.json").unlink()  # nothing says any more that it leaks
    with pytest.raises(LeakError, match=r"split\.csv: lesion LESION_\d+ is in "):
        train(make_recipe(), drawn_folder, out=tmp_path / "run", split=tmp_path / "split.csv")


def test_a_split_by_image_stamps_its_run(drawn_folder: Path, tmp_path: Path) -> None:
    run = train(make_recipe(epochs=1), drawn_folder, out=tmp_path / "run", split="image")
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
    assert [predict_test(run).number, predict_test(run).number] == [1, 2]
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


def test_other_ages_than_it_was_told_in_training_are_other_data(
    tmp_path: Path, write_kaggle: WriteKaggle
) -> None:
    folder = write_kaggle(tmp_path / "data")
    told, alone = (
        train(make_recipe(epochs=1, metadata=names), folder, out=tmp_path / f"run-{len(names)}")
        for names in (["age"], [])
    )
    table = pd.read_csv(folder / "HAM10000_metadata.csv").assign(age=51.0)
    table.to_csv(folder / "HAM10000_metadata.csv", index=False)
    with pytest.raises(RunError, match="its content changed"):
        predict_test(told)
    assert predict_test(alone).number == 1


def test_a_run_that_early_stopping_had_ended_is_not_trained_on(drawn_folder: Path, tmp_path: Path) -> None:
    recipe = make_recipe(epochs=30, lr=1e-9, early_stopping=2, monitor="val_accuracy")
    run = train(recipe, drawn_folder, out=tmp_path / "run")
    history, predictions = run.history.read_bytes(), run.predictions("val").read_bytes()
    last = (run.checkpoints / "last.ckpt").read_bytes()
    for path in (run.predictions("val"), run.predictions("cal"), run.calibration):
        path.unlink()  # as if it was killed after its last epoch
    train(recipe, drawn_folder, out=run.path, resume=True)
    assert run.history.read_bytes() == history
    assert run.predictions("val").read_bytes() == predictions
    assert (run.checkpoints / "last.ckpt").read_bytes() == last
