from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from conftest import make_recipe
from lesionwise.cli.app import app
from lesionwise.errors import RecipeError, SplitError
from lesionwise.evaluation.predictions import read_predictions
from lesionwise.experiments.seeds import train_seeds
from lesionwise.files import read_json
from lesionwise.run_folder import RunFolder
from lesionwise.split.split_file import read_split


def test_seeds_differ_on_one_split_and_their_ensemble_looks_at_test_once_for_each(
    drawn_folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "r.toml").write_text(make_recipe(model="seed-mlp", epochs=1, batch_size=64).to_toml())
    out = tmp_path / "out"
    options = ["--data", str(drawn_folder), "--out", str(out), "--quiet"]
    runner = CliRunner()
    done = runner.invoke(app, ["train", str(tmp_path / "r.toml"), *options, "--seeds", "2", "--seed", "3"])
    assert done.exit_code == 0, done.output
    assert "2 seeds on val of one split" in done.output
    runs = [out / "seed-3", out / "seed-4"]
    assert len({read_split(run / "split.csv").fingerprint for run in runs}) == 1
    assert [read_json(run / "data.json")["seed"] for run in runs] == [3, 4]
    first, second = (read_predictions(run / "predictions-val.csv").y_prob for run in runs)
    assert not np.allclose(first, second)
    record = read_json(out / "seeds.json")
    scores = [read_json(run / "scores.json")["parts"]["val"]["overall"]["accuracy"]["value"] for run in runs]
    assert record["val"]["accuracy"]["mean"] == pytest.approx(np.mean(scores))

    made = runner.invoke(app, ["ensemble", *map(str, runs), "--out", str(tmp_path / "both"), "--quiet"])
    assert made.exit_code == 0, made.output
    final = runner.invoke(app, ["evaluate", str(tmp_path / "both"), "--final", "--quiet"])
    assert final.exit_code == 0, final.output
    expected = [read_predictions(run / "predictions-test.csv").y_prob for run in runs]
    stood = read_predictions(tmp_path / "both" / "predictions-test.csv").y_prob
    np.testing.assert_allclose(stood, np.mean(expected, axis=0), atol=1e-6)
    looks = pd.concat(pd.read_csv(path) for path in sorted(out.rglob("test-ledger.csv")))
    assert sorted(looks["run"]) == ["seed-3", "seed-4"]


def test_copies_drawn_anew_for_each_seed_are_refused_before_training(tmp_path: Path) -> None:
    def train_one(seed: int, run: Path, split: Path | None) -> RunFolder:
        raise AssertionError((seed, run, split))

    with pytest.raises(SplitError, match="draws other copies for each seed"):
        train_seeds(make_recipe(defect_resample_before_split=50), train_one, tmp_path, seeds=2)


def test_seeds_that_train_on_val_are_refused_before_training(drawn_folder: Path, tmp_path: Path) -> None:
    options = ["--data", str(drawn_folder), "--out", str(tmp_path / "out"), "--seeds", "2"]
    ended = CliRunner().invoke(app, ["train", "small", *options, "--set", "train_on_val=true"])
    assert isinstance(ended.exception, RecipeError)
    assert "leaves no images to score seeds on. Train each by itself with --seed" in str(ended.exception)
    assert not (tmp_path / "out").exists()


def test_a_split_and_by_image_are_refused_together_as_for_one_seed(
    drawn_folder: Path, tmp_path: Path
) -> None:
    Path("s.csv").touch()  # in the test's own folder: a missing file is refused first
    options = ["--data", str(drawn_folder), "--out", str(tmp_path / "out"), "--split", "s.csv"]
    ended = CliRunner().invoke(app, ["train", "small", *options, "--by", "image", "--seeds", "2"])
    assert isinstance(ended.exception, SplitError)
    assert "s.csv: --by image makes a split of its own" in str(ended.exception)
    assert not (tmp_path / "out").exists()
