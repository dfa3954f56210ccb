import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from conftest import NotedProgress, WriteKaggle, make_recipe
from lesionwise.data.dataset import Dataset, read_dataset
from lesionwise.errors import LeakError, RunError, SplitError
from lesionwise.evaluation.predictions import read_predictions
from lesionwise.evaluation.runs.predictions import read_run_predictions
from lesionwise.evaluation.runs.scores import OUT_OF_FOLD
from lesionwise.evaluation.scores.evaluate import evaluate
from lesionwise.evaluation.scores.fold_mean import mean_over_folds
from lesionwise.execution import Execution
from lesionwise.experiments import folder as experiment_folder
from lesionwise.experiments.crossval import CrossValidation, collect, cross_validate
from lesionwise.experiments.leakage import measure_leakage
from lesionwise.files import read_json, write_json
from lesionwise.report.html import write_report
from lesionwise.run_folder import RunFolder
from lesionwise.split.assign import fold_split, make_split
from lesionwise.split.split_file import read_split, write_split
from lesionwise.training import prepare as training_prepare
from lesionwise.training.ledger import predict_test_together
from lesionwise.training.prepare import prepare
from lesionwise.training.run import train

RECIPE = {"model": "seed-mlp", "epochs": 2, "lr": 1e-3}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, write_kaggle: WriteKaggle) -> Path:
    return write_kaggle(tmp_path_factory.mktemp("many") / "data", lesions=20)


@pytest.fixture(scope="module")
def dataset(folder: Path) -> Dataset:
    return read_dataset(folder)


@pytest.fixture(scope="module")
def split(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("split") / "split.csv"
    write_split(make_split(dataset, seed=3), path)
    return path


@pytest.fixture(scope="module")
def crossed(folder: Path, split: Path, tmp_path_factory: pytest.TempPathFactory) -> CrossValidation:
    out = tmp_path_factory.mktemp("crossed") / "out"
    return cross_validate(make_recipe(**RECIPE), folder, out=out, split=split)


def test_every_image_beside_test_is_predicted_once_by_the_run_that_did_not_see_its_fold(
    crossed: CrossValidation, split: Path
) -> None:
    given = read_split(split).frame.set_index("image_id")
    table = pd.read_csv(crossed.run.predictions(OUT_OF_FOLD))
    assert table.columns[:4].tolist() == ["image_id", "group", "y_true", "fold"]
    assert table["image_id"].is_unique
    assert set(table["image_id"]) == set(given.index[given["part"] != "test"])
    assert (given.loc[table["image_id"], "fold"].to_numpy() == table["fold"].to_numpy()).all()
    for fold in (1, 2, 3, 4):
        own = read_split(crossed.run.path / f"fold-{fold}" / "split.csv")
        assert set(own.image_ids("test")) == set(table.loc[table["fold"] == fold, "image_id"])


def test_the_test_part_of_the_split_stands_in_no_fold(crossed: CrossValidation, split: Path) -> None:
    test = set(read_split(split).image_ids("test"))
    for path in crossed.run.path.rglob("fold-*/*.csv"):
        if path.name != "history.csv":
            assert not test & set(pd.read_csv(path)["image_id"]), path
    assert not list(crossed.run.path.rglob("test-ledger.csv"))
    assert not (split.parent / "test-ledger.csv").exists()


def test_val_and_cal_of_a_fold_share_no_lesion_with_its_train_nor_with_what_is_held_out(
    crossed: CrossValidation, dataset: Dataset
) -> None:
    lesion = dataset.table.set_index("image_id")["lesion_id"]
    own = read_split(crossed.run.path / "fold-2" / "split.csv")
    sides = [set(lesion[own.image_ids(part)]) for part in ("train", "val", "cal", "test")]
    assert sum(len(side) for side in sides) == len(set.union(*sides))
    assert all(sides)


def test_pooled_scores_are_those_of_the_file_and_means_those_of_the_folds(crossed: CrossValidation) -> None:
    pooled = read_predictions(crossed.run.predictions(OUT_OF_FOLD))
    assert pooled.y_true is not None
    assert pooled.group is not None
    assert crossed.pooled == evaluate(pooled.y_true, pooled.y_prob, pooled.group)
    fold = pd.read_csv(crossed.run.predictions(OUT_OF_FOLD))["fold"].to_numpy()
    hits = pooled.y_prob.argmax(1) == pooled.y_true
    expected = [hits[fold == number].mean() for number in (1, 2, 3, 4)]
    assert crossed.by_fold["accuracy"].each == pytest.approx(expected)
    assert crossed.by_fold["accuracy"].mean == pytest.approx(np.mean(expected))


def test_the_folder_can_be_reported(crossed: CrossValidation) -> None:
    assert "out-of-fold" in write_report(crossed.run).read_text()


def test_folds_can_be_run_one_after_the_other_and_none_twice(
    crossed: CrossValidation, folder: Path, split: Path, tmp_path: Path
) -> None:
    recipe, out = make_recipe(**RECIPE), tmp_path / "out"
    started = NotedProgress()
    execution = Execution(progress=started)
    first = cross_validate(recipe, folder, out=out, split=split, folds=[3], execution=execution)
    assert (first.done, first.by_fold["accuracy"].low) == ([3], None)
    assert set(pd.read_csv(first.run.predictions(OUT_OF_FOLD))["fold"]) == {3}
    stamp = (out / "fold-3" / "checkpoints" / "best.ckpt").stat().st_mtime_ns
    rest = cross_validate(recipe, folder, out=out, folds=4, execution=execution)
    assert started.runs == ["fold 3 of 3", *(f"fold {fold} of 1, 2, 3, 4" for fold in (1, 2, 4))]
    assert (out / "fold-3" / "checkpoints" / "best.ckpt").stat().st_mtime_ns == stamp
    assert rest.to_json() | {"run": ""} == crossed.to_json() | {"run": ""}
    assert collect(rest.run).to_json() == rest.to_json()


KILLED = """
import os, signal, sys
from lesionwise.recipe import load_recipe
from lesionwise.experiments.crossval import cross_validate
from lesionwise.execution import Execution
from lesionwise.progress import Progress
class Stop(Progress):
    def on_run(self, title):
        self.title = title
    def on_epoch(self, row):
        if self.title.startswith(f"fold {sys.argv[4]} ") and row["epoch"] == 0:
            os.kill(os.getpid(), signal.SIGKILL)
if __name__ == "__main__":
    cross_validate(load_recipe(sys.argv[1]), sys.argv[2], out=sys.argv[3], split=sys.argv[5],
                   execution=Execution(progress=Stop()))
"""


def test_a_killed_cross_validation_goes_on_to_the_predictions_of_the_unbroken_one(
    crossed: CrossValidation, folder: Path, split: Path, tmp_path: Path
) -> None:
    out, recipe = tmp_path / "out", tmp_path / "recipe.toml"
    recipe.write_text(make_recipe(**RECIPE).to_toml())
    command: list[str | Path] = [sys.executable, "-c", KILLED, recipe, folder, out, "2", split]
    threads = {"OMP_NUM_THREADS": str(torch.get_num_threads())}  # others round otherwise
    done = subprocess.run(command, check=False, timeout=120, env={**os.environ, **threads})
    assert done.returncode == -signal.SIGKILL
    assert collect(RunFolder(out)).done == [1]
    assert (out / "fold-2" / "history.csv").exists()
    result = cross_validate(make_recipe(**RECIPE), folder, out=out, split=split)
    ours, theirs = (run.predictions(OUT_OF_FOLD).read_bytes() for run in (result.run, crossed.run))
    assert ours == theirs


def test_without_a_split_all_images_are_dealt_out(folder: Path, dataset: Dataset, tmp_path: Path) -> None:
    result = cross_validate(make_recipe(**RECIPE, batch_size=64), folder, out=tmp_path / "out", folds=2)
    assert result.folds == [1, 2]
    table = pd.read_csv(result.run.predictions(OUT_OF_FOLD))
    assert set(table["image_id"]) == set(dataset.table["image_id"])
    assert (table.groupby("group")["fold"].nunique() == 1).all()


def test_folds_of_an_image_split_are_stamped(folder: Path, dataset: Dataset, tmp_path: Path) -> None:
    write_split(make_split(dataset, by="image"), tmp_path / "leaky.csv")
    recipe = make_recipe(**{**RECIPE, "epochs": 1})
    result = cross_validate(recipe, folder, out=tmp_path / "out", split=tmp_path / "leaky.csv", folds=[1])
    assert read_json(result.run.scores)["stamp"] == "LEAKY SPLIT"
    assert read_json(result.run.path / "fold-1" / "split.json")["stamp"] == "LEAKY SPLIT"


@pytest.mark.parametrize(
    ("change", "named"), [({"seed": 1}, "--seed"), ({"epochs": 3}, "recipe"), ({"split": 7}, "--split")]
)
def test_it_is_continued_as_it_was_begun(
    *,
    change: dict[str, int],
    named: str,
    crossed: CrossValidation,
    folder: Path,
    dataset: Dataset,
    split: Path,
    tmp_path: Path,
) -> None:
    recipe = make_recipe(**{**RECIPE, "epochs": change.get("epochs", 2)})
    if "split" in change:
        split = tmp_path / "other.csv"
        write_split(make_split(dataset, seed=change["split"]), split)
    with pytest.raises(RunError, match=f"was started with another {named}"):
        cross_validate(recipe, folder, out=crossed.run.path, split=split, seed=change.get("seed", 0))


def test_what_cannot_be_folded_is_refused_before_anything_is_written(
    folder: Path, split: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    cases = [
        ({"folds": 5, "split": split}, "has 4 folds beside test"),
        ({"folds": [1, 9], "split": split}, "expected folds among 1, 2, 3, 4 but got 9"),
        ({"folds": 1}, "Expected two folds or more but got 1"),
        ({"folds": 30}, "Expected at least 30 lesions of every diagnosis"),
    ]
    for options, message in cases:
        with pytest.raises(SplitError, match=message):
            cross_validate(make_recipe(**RECIPE), folder, out=out, **options)  # type: ignore[arg-type]
    with pytest.raises(SplitError, match="makes a split of its own"):
        cross_validate(make_recipe(defect_resample_before_split=50), folder, out=out)
    assert not out.exists()


def test_a_folder_with_something_else_in_it_is_left_alone(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "notes.txt").write_text("mine")
    with pytest.raises(RunError, match="holds no cross-validation"):
        cross_validate(make_recipe(**RECIPE), folder, out=tmp_path / "out")


class Stopped(Exception):  # noqa: N818 (no error)
    """Raised in place of training."""


def stop(*_: object, **__: object) -> None:
    raise Stopped


@pytest.fixture
def stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(experiment_folder, "train", stop)


def test_what_one_fold_sees_cannot_be_folded(crossed: CrossValidation, folder: Path, tmp_path: Path) -> None:
    for split in (crossed.run.path / "splits" / "fold-1.csv", crossed.run.path / "fold-1" / "split.csv"):
        with pytest.raises(SplitError, match="is the split of a single fold"):
            cross_validate(make_recipe(**RECIPE), folder, out=tmp_path / "out", split=split)
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("stopped")
def test_a_finished_run_is_never_written_over(
    crossed: CrossValidation, folder: Path, split: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(crossed.run.path / "fold-1", run)
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    with pytest.raises(RunError, match="is not empty and holds no cross-validation"):
        cross_validate(make_recipe(**RECIPE), folder, out=run, split=split)
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


@pytest.mark.usefixtures("stopped")
def test_one_that_was_stopped_at_its_first_files_begins_again(
    folder: Path, split: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe, out = make_recipe(**RECIPE), tmp_path / "out"
    with monkeypatch.context() as patch:
        patch.setattr(experiment_folder, "describe_environment", stop)
        with pytest.raises(Stopped):
            cross_validate(recipe, folder, out=out, split=split)
    assert [path.name for path in sorted(out.iterdir())] == ["config.toml", "cross-validation.json"]
    with pytest.raises(Stopped):
        cross_validate(recipe, folder, out=out, split=split)
    assert (out / "splits" / "fold-1.csv").exists()


def test_lesions_that_the_split_joined_stay_joined_in_every_fold(
    folder: Path, dataset: Dataset, tmp_path: Path
) -> None:
    lesions = dataset.table.drop_duplicates("lesion_id")
    pairs = [tuple(ids[:2]) for _, ids in lesions.groupby("dx")["image_id"].apply(list).items()]
    made = prepare(folder, make_recipe(), merge=pairs)
    write_split(made.split, tmp_path / "merged.csv")
    again = prepare(folder, make_recipe(), split=tmp_path / "merged.csv")
    assert (again.group == made.group).all()
    assert len(set(again.group)) == dataset.table["lesion_id"].nunique() - len(pairs)
    for fold in (1, 2, 3, 4):
        own = fold_split(again.split, fold, again.dataset, again.group, seed=fold).frame
        part = own.set_index("image_id")["part"].to_dict()
        assert all(part.get(first) == part.get(second) for first, second in pairs)


@pytest.fixture
def copied(crossed: CrossValidation, tmp_path: Path) -> RunFolder:
    shutil.copytree(crossed.run.path, tmp_path / "copied")
    return RunFolder(tmp_path / "copied")


def test_folds_that_cannot_be_trained_are_refused_before_an_image_is_read(
    folder: Path, dataset: Dataset, split: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training_prepare, "open_cache", lambda *_, **__: pytest.fail("read the images"))
    options: dict[str, Any] = {"out": tmp_path / "out", "split": split}
    with pytest.raises(SplitError, match="expected folds among"):
        cross_validate(make_recipe(**RECIPE), folder, folds=[9], **options)
    with pytest.raises(SplitError, match="folds beside test"):
        cross_validate(make_recipe(**RECIPE), folder, folds=9, **options)
    given = read_split(split)
    rare = set(dataset.table["image_id"][dataset.table["dx"] == "df"])
    frame = given.frame.copy()
    moved = frame["image_id"].isin(rare) & (frame["fold"] == 3)
    frame.loc[moved, "fold"] = 2
    write_split(replace(given, frame=frame), tmp_path / "split.csv")
    with pytest.raises(SplitError, match="has no image of df in fold 3"):
        cross_validate(make_recipe(**RECIPE), folder, out=tmp_path / "out", split=tmp_path / "split.csv")
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("stopped")
def test_folds_of_changed_data_are_not_mixed_with_earlier_ones(
    copied: RunFolder, folder: Path, tmp_path: Path
) -> None:
    shutil.copytree(folder, tmp_path / "data")
    shutil.rmtree(copied.path / "fold-4")
    image = next((tmp_path / "data").rglob("*.jpg"))
    Image.new("RGB", (40, 30)).save(image)
    with pytest.raises(RunError, match="was started with another content of --data"):
        cross_validate(make_recipe(**RECIPE), tmp_path / "data", out=copied.path)


def test_a_fold_that_was_scored_on_val_alone_is_scored_on_what_it_held_out(
    copied: RunFolder, crossed: CrossValidation, folder: Path
) -> None:
    scores = RunFolder(copied.path / "fold-2").scores
    write_json(scores, {"parts": {"val": read_json(scores)["parts"]["test"]}})
    assert collect(copied).done == [1, 3, 4]
    result = cross_validate(make_recipe(**RECIPE), folder, out=copied.path)
    assert result.done == [1, 2, 3, 4]
    assert result.by_fold == crossed.by_fold


def test_pooled_probabilities_are_those_of_the_present_calibration(copied: RunFolder) -> None:
    own = RunFolder(copied.path / "fold-3")
    scaling = {"method": "temperature", "temperature": 20.0}
    write_json(own.calibration, {**read_json(own.calibration), "scaling": scaling})
    expected = read_run_predictions(own, "test")
    assert np.abs(read_predictions(own.predictions("test")).y_prob - expected.y_prob).max() > 0.01
    collect(copied)
    pooled = read_predictions(copied.predictions(OUT_OF_FOLD))
    place = {image: row for row, image in enumerate(pooled.image_id)}
    rows = [place[image] for image in expected.image_id]
    np.testing.assert_allclose(pooled.y_prob[rows], expected.y_prob, atol=1e-6)


def test_the_interval_takes_the_ratio_that_these_folds_have(crossed: CrossValidation) -> None:
    splits = [read_split(crossed.run.path / f"fold-{fold}" / "split.csv") for fold in (1, 2, 3, 4)]
    ratio = np.mean([len(own.image_ids("test")) / len(own.image_ids("train")) for own in splits])
    assert ratio > 0.38  # 3/7 of the lesions, and not the 1/3 of training on all other folds
    each = crossed.by_fold["accuracy"].each
    assert crossed.by_fold["accuracy"] == mean_over_folds(each, ratio=float(ratio))


def test_looking_at_a_held_out_fold_is_no_look_at_the_final_exam(
    copied: RunFolder, crossed: CrossValidation
) -> None:
    assert predict_test_together(RunFolder(copied.path / "fold-1")) is None
    for path in (copied.path, crossed.run.path):
        assert not list(path.rglob("test-ledger.csv"))


def test_too_few_lesions_are_found_in_the_table_before_an_image_is_read(
    tmp_path: Path, write_kaggle: WriteKaggle, monkeypatch: pytest.MonkeyPatch
) -> None:
    few, folder = write_kaggle(tmp_path / "few", lesions=5), write_kaggle(tmp_path / "data")
    split = make_split(read_dataset(folder))
    leaky = split.frame.assign(part=np.where(split.frame.index % 2 == 0, "train", "test"))
    leaky.to_csv(tmp_path / "leaky.csv", index=False)
    monkeypatch.setattr(training_prepare, "open_cache", lambda *_, **__: pytest.fail("read the images"))
    with pytest.raises(SplitError, match="Expected at least"):
        train(make_recipe(**RECIPE), few, out=tmp_path / "run")
    with pytest.raises(SplitError, match="Expected at least"):
        measure_leakage(make_recipe(**RECIPE), few, out=tmp_path / "leak")
    with pytest.raises(SplitError, match="Expected at least"):
        cross_validate(make_recipe(**RECIPE), folder, out=tmp_path / "folds", folds=14)
    with pytest.raises(LeakError):
        train(make_recipe(**RECIPE), folder, out=tmp_path / "run", split=tmp_path / "leaky.csv")
    assert not {path.name for path in tmp_path.iterdir()} - {"few", "data", "leaky.csv"}
