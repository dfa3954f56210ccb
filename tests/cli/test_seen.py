"""`evaluate`, `compare` and `report` on images that made the model."""

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from lesionwise import cli, load_model
from lesionwise.bundle.load import read_bundle
from lesionwise.data.known_lesions import known_lesions, reference_parts
from lesionwise.labels import CODES, INDEX

SHA256 = read_bundle().sha256


def call(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["lesionwise", *map(str, arguments)])
    try:
        cli.main()
    except SystemExit as ended:
        return int(ended.code or 0)
    return 0


def write(path: Path, images: pd.DataFrame, *, skill: float = 1.0, sha256: str = SHA256) -> Path:
    """Write predictions of `best` for images of HAM10000: perfect for what it was trained on."""
    truth = images["dx"].map(INDEX).to_numpy()
    seen = images["image_id"].map(reference_parts()).to_numpy() != "test"
    odds = np.random.default_rng(0).normal(size=(len(images), 7)) + skill * np.eye(7)[truth]
    prob = np.exp(odds + 50 * np.eye(7)[truth] * seen[:, None])
    prob /= prob.sum(axis=1, keepdims=True)
    table = pd.DataFrame(prob, columns=[f"prob_{code}" for code in CODES])
    table.insert(0, "image_id", images["image_id"].to_numpy())
    table.assign(model="best", model_sha256=sha256).to_csv(path, index=False)
    return path


@pytest.fixture(scope="module")
def images() -> pd.DataFrame:
    """A fifth of HAM10000 by image, as notebooks split it."""
    return known_lesions().sample(frac=0.2, random_state=0).sort_values("image_id")


def test_a_score_on_training_images_is_stamped_and_the_clean_rest_is_scored_beside_it(
    images: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    csv = write(tmp_path / "p.csv", images)
    assert (
        call(monkeypatch, "evaluate", csv, "--json", "--quiet") == 0
    )  # truth and lesions: the shipped table
    found = json.loads(capsys.readouterr().out)
    apart = found["seen_in_training"]
    parts = images["image_id"].map(reference_parts())
    assert apart["stamp"] == "SEEN IN TRAINING"
    assert len(apart["reasons"]) == (parts != "test").sum()
    assert apart["clean"]["images"] == (parts == "test").sum()
    assert found["overall"]["accuracy"]["value"] > apart["clean"]["overall"]["accuracy"]["value"] + 0.2
    assert call(monkeypatch, "evaluate", csv, "--out", tmp_path / "out") == 0
    shown = capsys.readouterr()
    assert "SEEN IN TRAINING. best was made with" in shown.out
    lines = shown.out.rstrip().splitlines()
    assert lines[0].startswith("SEEN IN TRAINING. best was made with")
    assert lines[-2].endswith("This is the score to quote.")
    assert lines[-1].startswith("Verdict on the clean rest: ")
    assert shown.out.count("Verdict") == 1  # none speaks of what the model has seen
    assert "diagnoses and lesions were taken from the included table" in shown.err
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "SEEN IN TRAINING" in page
    assert "the images that the model was not made with" in page


def test_a_quiet_report_prints_nothing_but_its_path(
    images: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    csv = write(tmp_path / "p.csv", images.head(60))
    table = tmp_path / "t.csv"
    images.to_csv(table, index=False)
    options = ("--table", table, "--out", tmp_path / "out", "--quiet")
    assert call(monkeypatch, "report", csv, *options) == 0
    assert capsys.readouterr().err == ""


def test_a_table_that_is_written_from_python_is_stamped_as_well(
    images: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    parts = images["image_id"].map(reference_parts())
    for name in images["image_id"][parts == "train"].head(2):
        Image.new("RGB", (60, 45), "tan").save(tmp_path / f"{name}.png")
    load_model().predict(tmp_path).to_frame().to_csv(tmp_path / "p.csv", index=False)
    assert call(monkeypatch, "evaluate", tmp_path / "p.csv", "--json", "--quiet") == 0
    assert json.loads(capsys.readouterr().out)["seen_in_training"]["stamp"] == "SEEN IN TRAINING"


def test_a_score_on_the_test_part_is_not_stamped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    known = known_lesions()
    test = known[known["image_id"].map(reference_parts()) == "test"]
    assert call(monkeypatch, "evaluate", write(tmp_path / "p.csv", test)) == 0
    shown = capsys.readouterr().out
    assert "SEEN IN TRAINING" not in shown
    assert "best was made with none of the 2,004 images" in shown


def test_a_model_that_does_not_ship_is_asked_for_and_another_is_refused(
    images: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    csv = write(tmp_path / "p.csv", images, sha256="0" * 64)
    assert call(monkeypatch, "evaluate", csv) == 0
    assert "is not included in this version. Pass --model FILE" in capsys.readouterr().err
    assert call(monkeypatch, "evaluate", csv, "--model", "best") == 2
    assert "the predictions name best with 000000000000" in capsys.readouterr().err


def test_models_are_compared_on_the_clean_rest_beside_all_images(
    images: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ours, theirs = write(tmp_path / "ours.csv", images), write(tmp_path / "theirs.csv", images, skill=3)
    table = pd.read_csv(theirs).drop(columns=["model", "model_sha256"])
    truth = images["dx"].map(INDEX).to_numpy()
    honest = np.exp(np.random.default_rng(1).normal(size=(len(images), 7)) + 2.5 * np.eye(7)[truth])
    table[[f"prob_{code}" for code in CODES]] = honest / honest.sum(axis=1, keepdims=True)
    table.to_csv(theirs, index=False)
    assert call(monkeypatch, "compare", ours, theirs, "--json", "--quiet") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["standings"][0]["name"] == str(ours)  # by what it was trained on
    assert found["clean"]["standings"][0]["name"] == str(theirs)
    assert found["clean"]["comparisons"][0]["images"] < found["comparisons"][0]["images"]
    assert list(found["seen_in_training"]) == [str(ours)]
    assert call(monkeypatch, "compare", ours, theirs, "--quiet") == 0
    shown = capsys.readouterr().out
    assert shown.startswith(f"{ours}: SEEN IN TRAINING.")
    assert "On the clean rest (quote this comparison):" in shown
    assert shown.count("Verdict") == 1  # none speaks of what a model has seen
    assert shown.splitlines()[-1].startswith(f"Verdict: {theirs} is best")


def test_each_bundle_given_to_compare_goes_with_the_predictions_that_name_it(
    images: pd.DataFrame,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    ours, theirs = (
        write(tmp_path / "ours.csv", images),
        write(tmp_path / "theirs.csv", images, sha256="0" * 64),
    )
    monkeypatch.setattr("lesionwise.bundle.seen.SHIPPED", ())  # as a bundle that does not ship
    assert call(monkeypatch, "compare", ours, theirs, "--model", "best", "--json") == 0
    shown = capsys.readouterr()
    assert list(json.loads(shown.out)["seen_in_training"]) == [str(ours)]
    assert shown.err.count("is not included in this version") == 1
    assert call(monkeypatch, "report", theirs, "--out", tmp_path / "out") == 0
    assert "is not included in this version" in capsys.readouterr().err
    nameless = tmp_path / "nameless.csv"
    pd.read_csv(ours).drop(columns=["model", "model_sha256"]).to_csv(nameless, index=False)
    assert call(monkeypatch, "compare", nameless, theirs, "--model", "best") == 2
    assert "which none of the predictions names" in capsys.readouterr().err


def test_all_images_of_a_score_that_were_seen_leave_no_verdict(
    images: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    trained = images[images["image_id"].map(reference_parts()) == "train"].iloc[:1]
    assert call(monkeypatch, "evaluate", write(tmp_path / "p.csv", trained)) == 0
    lines = capsys.readouterr().out.rstrip().splitlines()
    assert lines[0].startswith("SEEN IN TRAINING. best was made with 1 of 1 image (")
    assert lines[-1].startswith("Verdict: none.")
    assert "1 of 1 image\n" in "\n".join(lines)
