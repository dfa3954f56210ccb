"""`calibrate`, and what `evaluate` and `compare` make of it."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from conftest import make_recipe
from evaluation.simulation import simulate
from lesionwise import cli
from lesionwise.evaluation.calibration.record import softmax
from lesionwise.evaluation.predictions import Predictions, read_predictions, write_predictions
from lesionwise.files import sole_writer


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "config.toml").write_text(make_recipe().to_toml())
    (folder / "split.json").write_text(json.dumps({"fingerprint": "ab"}))
    for seed, part in enumerate(("val", "cal")):
        sample = simulate(seed=seed, digits=6)
        logits = 2 * np.log(sample.y_prob)
        ids = np.array([f"I{index}" for index in range(len(logits))])
        given = Predictions(ids, softmax(logits), sample.y_true, sample.groups, logits)
        write_predictions(given, folder / f"predictions-{part}.csv")
    return folder


def _call(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["lesionwise", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return int(ended.value.code or 0)


def test_a_run_is_calibrated_and_then_scored_so(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _call(monkeypatch, "evaluate", run, "--json") == 0
    raw = json.loads(capsys.readouterr().out)
    assert "calibration" not in raw
    assert _call(monkeypatch, "calibrate", run) == 0
    said = capsys.readouterr()
    assert "melanoma  sensitivity at least 90%: from " in said.out
    assert 'earlier calibration: scores.json. Make them again, first with "lesionwise evaluate' in said.err
    assert _call(monkeypatch, "evaluate", run, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["overall"]["log_loss"]["value"] < raw["overall"]["log_loss"]["value"]
    before = found["calibration"]["before"]["log_loss"]
    assert before["value"] == pytest.approx(raw["overall"]["log_loss"]["value"], abs=1e-5)
    assert _call(monkeypatch, "evaluate", run) == 0
    shown = capsys.readouterr().out
    assert "calibration, fitted on cal:" in shown
    assert "if the promise is just kept" in shown


def test_a_file_of_a_calibrated_run_scores_like_the_run(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _call(monkeypatch, "calibrate", run, "--scaling", "vector", "--quiet", "--json") == 0
    assert json.loads(capsys.readouterr().out)["scaling"]["method"] == "vector"
    losses = []
    for source in (run, run / "predictions-val.csv"):
        assert _call(monkeypatch, "evaluate", source, "--json") == 0
        losses.append(json.loads(capsys.readouterr().out)["overall"]["log_loss"]["value"])
    assert losses[0] == pytest.approx(losses[1], abs=1e-6)


def test_wishes_are_taken_in_their_order(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    wishes = ("--sensitivity", 0.99, "--sensitivity", 0.8, "--specificity", 0.7, "--coverage", 0.8)
    assert _call(monkeypatch, "calibrate", run, *wishes, "--sets", "aps", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    asked = [(point["question"], point["aim"], point["at_least"]) for point in found["operating_points"]]
    assert asked[:3] == [("melanoma", "sensitivity", 0.99), ("melanoma", "sensitivity", 0.8),
                         ("melanoma", "specificity", 0.7)]  # fmt: skip
    assert (found["prediction_sets"]["rule"], found["prediction_sets"]["coverage"]) == ("aps", 0.8)
    assert _call(monkeypatch, "calibrate", run, "--sensitivity", 0.99) == 0
    assert "no threshold, too few lesions" in capsys.readouterr().out


def test_a_promise_is_not_rounded_to_another(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _call(monkeypatch, "calibrate", run, "--coverage", 0.975, "--sensitivity", 0.995) == 0
    said = capsys.readouterr().out
    assert "hold the diagnosis of 97.5% of lesions" in said
    assert "sensitivity at least 99.5%" in said
    assert "no promise for this class: a promise needs 39" in said


def test_what_makes_a_calibration_void_is_said(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _call(monkeypatch, "calibrate", run) == 0
    said = capsys.readouterr()
    assert "the limit of the search" not in said.out
    assert "LEAKY" not in said.err
    path = run / "predictions-cal.csv"
    given = read_predictions(path)
    logits = np.eye(7)[given.y_true]  # always right, and hardly daring to say so
    write_predictions(replace(given, y_prob=softmax(logits), logits=logits), path)
    (run / "split.json").write_text(json.dumps({"fingerprint": "ab", "stamp": "LEAKY SPLIT"}))
    assert _call(monkeypatch, "calibrate", run) == 0
    said = capsys.readouterr()
    assert "temperature 0.050, the limit of the search: the best value lies beyond it" in said.out
    assert "LEAKY SPLIT: the model was trained on lesions of cal" in said.err


def test_a_folder_without_cal_is_told_so(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (run / "predictions-cal.csv").unlink()
    assert _call(monkeypatch, "calibrate", run) == 2
    assert "predictions-cal.csv: cannot be read" in capsys.readouterr().err


def test_what_is_of_the_calibration_before_is_named_even_if_nothing_was_scored(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _call(monkeypatch, "calibrate", run) == 0
    assert "Make them again" not in capsys.readouterr().err
    for name in ("report.html", "model_card.md", "model.onnx"):
        (run / name).write_text("")
    assert _call(monkeypatch, "calibrate", run) == 0
    named = "earlier calibration: report.html, model_card.md, model.onnx. Make them again, first with"
    assert named in capsys.readouterr().err


@pytest.mark.parametrize(
    "command", ["calibrate", "evaluate", "explain", "report", "robustness", "stability", "ensemble"]
)
def test_two_commands_do_not_write_into_one_run(
    command: str, run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _call(monkeypatch, "evaluate", run) == 0
    before = {path: path.read_bytes() for path in run.iterdir()}
    words = (run, run, "--out", run) if command == "ensemble" else (run,)
    with sole_writer(run):
        assert _call(monkeypatch, command, *words) == 2
    assert "run: another process is writing it. Wait until that ends" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in run.iterdir()} == before
