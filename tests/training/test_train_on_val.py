from pathlib import Path
from statistics import mean

import pandas as pd
import pytest
import torch
from typer.testing import CliRunner

from conftest import make_recipe
from lesionwise.cli.app import app
from lesionwise.errors import DataError, RecipeError, RunError
from lesionwise.evaluation.runs.scores import evaluate_part
from lesionwise.evaluation.scores.fold_mean import mean_over_folds
from lesionwise.experiments.crossval import cross_validate
from lesionwise.explain.run import explain_run
from lesionwise.recipe import load_recipe
from lesionwise.report.html import write_report
from lesionwise.report.model_card import write_model_card
from lesionwise.run_folder import RunFolder
from lesionwise.split.split_file import read_split
from lesionwise.training.run import train


@pytest.fixture(scope="module")
def run(drawn_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    recipe = make_recipe(epochs=3, ema=0.9, train_on_val=True)
    return train(recipe, drawn_folder, out=tmp_path_factory.mktemp("runs") / "run")


def test_the_last_epoch_is_kept(run: RunFolder) -> None:
    best, last = (
        torch.load(run.checkpoints / f"{name}.ckpt", weights_only=True) for name in ("best", "last")
    )
    assert best["epoch"] == last["epoch"] == 2
    assert all(torch.equal(value, last["state_dict"][name]) for name, value in best["state_dict"].items())


def test_history_holds_training_alone(run: RunFolder) -> None:
    history = pd.read_csv(run.history)
    assert len(history) == 3
    assert history[["train_loss", "train_accuracy", "lr", "images_per_second"]].notna().all(axis=None)
    assert history[["val_loss", "val_accuracy", "val_balanced_accuracy"]].isna().all(axis=None)


def test_val_is_trained_on(drawn_folder: Path, run: RunFolder) -> None:
    """The mean of the training images, with which a fresh network normalises, is that of both parts."""
    other = train(make_recipe(epochs=1), drawn_folder, out=run.path.parent / "other", split=run.split)
    means = [
        torch.load(each.checkpoints / "best.ckpt", weights_only=True)["state_dict"]["network.mean"]
        for each in (run, other)
    ]
    assert not torch.equal(*means)


def test_it_has_no_scores_on_val_and_says_what_to_do(run: RunFolder) -> None:
    assert run.predictions("cal").is_file()
    with pytest.raises(DataError, match=r"also trained on val.*--final"):
        evaluate_part(run, "val")


def test_an_ensemble_of_such_runs_says_the_same_and_looks_at_test(
    drawn_folder: Path, run: RunFolder, tmp_path: Path
) -> None:
    recipe = make_recipe(epochs=1, train_on_val=True)
    other = train(recipe, drawn_folder, out=tmp_path / "other", split=run.split, seed=1)
    both = str(tmp_path / "both")
    members = [str(run.path), str(other.path)]
    made = CliRunner().invoke(app, ["ensemble", *members, "--out", both, "--quiet"])
    assert made.exit_code == 0, made.output
    assert "was also trained on val" in made.output
    assert f"Ensemble of 2: {both}" in made.output
    final = CliRunner().invoke(app, ["evaluate", both, "--final", "--quiet"])
    assert final.exit_code == 0, final.output


def test_folds_are_scored_all_the_same_and_their_interval_counts_val_as_trained_on(
    drawn_folder: Path, tmp_path: Path
) -> None:
    recipe = make_recipe(model="seed-mlp", epochs=1, batch_size=64, train_on_val=True)
    found = cross_validate(recipe, drawn_folder, out=tmp_path, folds=[1, 2])
    splits = [read_split(tmp_path / f"fold-{fold}" / "split.csv") for fold in (1, 2)]
    ratio = mean(len(own.image_ids("test")) / len(own.image_ids("train", "val")) for own in splits)
    accuracy = found.by_fold["accuracy"]
    assert accuracy == mean_over_folds(accuracy.each, ratio=ratio)


def test_nothing_may_watch_val() -> None:
    with pytest.raises(RecipeError, match="leaves no images to watch"):
        load_recipe("small", ["train_on_val=true", "early_stopping=3"])


def test_report_explanation_and_card_do_without_val(run: RunFolder) -> None:
    with pytest.raises(RunError, match=r"was trained on val as well\. Add --part cal"):
        explain_run(run)
    evaluate_part(run, "cal")
    page = write_report(run).read_text(encoding="utf-8")
    assert "and <em>val</em>, and the last epoch was kept" in page
    assert "By epoch." in page
    assert "the best by" not in page
    card = " ".join(write_model_card(run).read_text(encoding="utf-8").split())
    assert "The weights, those of the last epoch, were trained on `train` and `val`;" in card
