"""`scores.json`: what stands in it, part by part."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from evaluation.simulation import Simulated
from lesionwise.evaluation.predictions import Predictions, read_predictions, write_predictions
from lesionwise.evaluation.runs import scores as run_scores
from lesionwise.evaluation.runs.scores import evaluate_part, evaluate_predictions, write_given
from lesionwise.evaluation.scores.evaluate import Evaluation, evaluate
from lesionwise.labels import CODES
from lesionwise.run_folder import RunFolder


@pytest.fixture
def mine(simulated: Simulated) -> Predictions:
    ids = np.array([f"I{index}" for index in range(len(simulated.y_true))])
    return Predictions(ids, simulated.y_prob, simulated.y_true, simulated.groups)


@pytest.fixture
def table(mine: Predictions, simulated: Simulated) -> pd.DataFrame:
    return pd.DataFrame({"image_id": mine.image_id, "dx": np.array(CODES)[simulated.y_true],
                         "lesion_id": simulated.groups, "sex": "female"})  # fmt: skip


@pytest.fixture
def run(tmp_path: Path, mine: Predictions, monkeypatch: pytest.MonkeyPatch) -> RunFolder:
    monkeypatch.setattr(run_scores, "evaluate", lambda *sample: evaluate(*sample, resamples=30))
    run = RunFolder(tmp_path)
    for part in ("val", "test"):
        write_predictions(mine, run.predictions(part))
    run.split.with_suffix(".json").write_text(json.dumps({"fingerprint": "ab", "images": {}}))
    return run


def test_parts_are_added_to_those_that_are_there(run: RunFolder) -> None:
    val = evaluate_part(run, "val")
    test = evaluate_part(run, "test")
    scores = json.loads(run.scores.read_text())
    assert set(scores) == {"split_fingerprint", "parts"}
    assert scores["split_fingerprint"] == "ab"
    assert Evaluation.from_json(scores["parts"]["val"]) == val
    assert Evaluation.from_json(scores["parts"]["test"]) == test


def test_a_leaky_split_is_stamped_on_its_scores(run: RunFolder) -> None:
    run.split.with_suffix(".json").write_text(json.dumps({"fingerprint": "ab", "stamp": "LEAKY SPLIT"}))
    evaluate_part(run, "val")
    assert json.loads(run.scores.read_text())["stamp"] == "LEAKY SPLIT"


def test_a_table_adds_subgroups(run: RunFolder, table: pd.DataFrame) -> None:
    assert evaluate_part(run, "val").subgroups == []
    rows = evaluate_part(run, "val", table=table).subgroups
    (row,) = [row for row in rows if row["column"] == "sex"]
    assert (row["value"], row["images"]) == ("female", len(table))
    assert json.loads(run.scores.read_text())["parts"]["val"]["subgroups"] == rows


@pytest.mark.usefixtures("run")
def test_a_table_gives_what_the_predictions_lack(mine: Predictions, table: pd.DataFrame) -> None:
    bare = replace(mine, y_true=None, group=None)
    found = evaluate_predictions(bare, "p.csv", table=table)
    assert found.lesions == 140
    assert found.resampled_by == "lesion"
    assert found.overall == evaluate_predictions(mine, "p.csv").overall


@pytest.mark.usefixtures("run")
def test_given_predictions_stand_in_a_folder_of_their_own(mine: Predictions, tmp_path: Path) -> None:
    given = RunFolder(tmp_path / "deep" / "given")
    evaluation = evaluate_predictions(mine, "theirs.csv")
    write_given(given, mine, evaluation, {"source": "theirs.csv"})
    write_given(given, mine, evaluation, {"source": "theirs.csv"})  # once more does no harm
    scores = json.loads(given.scores.read_text())
    assert scores["source"] == "theirs.csv"
    assert "numpy" in json.loads(given.environment.read_text())["packages"]
    assert Evaluation.from_json(scores["parts"]["given"]) == evaluation
    assert read_predictions(given.path / "predictions-given.csv").image_id.tolist() == mine.image_id.tolist()
