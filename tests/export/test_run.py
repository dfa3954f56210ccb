"""Tiny runs, exported: the file answers as they did, claims what is theirs, or is not written."""

import json
import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conftest import make_recipe
from lesionwise import load_model, read_dataset
from lesionwise.bundle.description import PartScores, Precision, Score, image_digest
from lesionwise.bundle.precision import FASTEST_FIRST, has_instructions
from lesionwise.bundle.seen import seen_images
from lesionwise.errors import BundleError, RunError
from lesionwise.evaluation.calibration.check import check_calibration
from lesionwise.evaluation.calibration.record import Aim, Question, softmax
from lesionwise.evaluation.predictions import Predictions, write_predictions
from lesionwise.evaluation.rejection import run_rejection
from lesionwise.evaluation.runs import scores as run_scores
from lesionwise.evaluation.runs.calibrate import calibrate_run
from lesionwise.evaluation.runs.ensemble import make_ensemble
from lesionwise.evaluation.runs.predictions import read_run_predictions, run_calibration
from lesionwise.evaluation.runs.scores import evaluate_part, read_check
from lesionwise.execution import Execution
from lesionwise.export.claims import claimed_scores
from lesionwise.export.run import export_run
from lesionwise.files import read_json, write_json
from lesionwise.predict.check import check_claims
from lesionwise.run_folder import RunFolder
from lesionwise.split.split_file import read_split
from lesionwise.training.ledger import predict_test
from lesionwise.training.run import train

REACHED: tuple[tuple[Question, Aim, float], ...] = (
    ("melanoma", "sensitivity", 0.4),
    ("malignant", "specificity", 0.4),
)  # with few lesions in cal
PROBABILISTIC = {"log_loss", "brier", "ece", "macro_auc"}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def runs(drawn_folder: Path, home: Path) -> list[RunFolder]:
    """Two seeds on one split, one of them with a view that cuts and resizes."""
    begin = partial(train, data=drawn_folder, execution=Execution(cache_root=home / "cache"))
    first = begin(make_recipe(eval_zoom=1.3, eval_size=[20, 28]), out=home / "a")
    return [first, begin(make_recipe(), out=home / "b", seed=1, split=first.split)]


def copied(run: RunFolder, path: Path) -> RunFolder:
    shutil.copytree(run.path, path)
    return RunFolder(path)


@pytest.fixture
def run(runs: list[RunFolder], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunFolder:
    """A copy of the first run that may be changed; few resamples."""
    monkeypatch.setattr(run_scores, "check_calibration", partial(check_calibration, resamples=30))
    return copied(runs[0], tmp_path / "run")


def answers_as(run: RunFolder, bundle: Path, data: Path) -> float:
    """The largest difference to what the run wrote for its val images."""
    dataset = read_dataset(data)
    paths = dict(zip(dataset.table["image_id"], dataset.paths, strict=True))
    written = read_run_predictions(run, "val")
    found = load_model(bundle, threads=1).predict(paths[name] for name in written.image_id).probabilities
    assert np.ptp(written.y_prob, axis=0).max() > 0.01
    return float(np.abs(found - written.y_prob).max())


def test_an_exported_run_answers_as_it_did_and_its_claim_is_confirmed(
    run: RunFolder, drawn_folder: Path, home: Path
) -> None:
    calibrate_run(run, coverage=0.5, points=REACHED)
    predict_test(run, execution=Execution(cache_root=home / "cache"))
    evaluate_part(run, "test")
    out = run.path / "model.onnx"
    description = export_run(run, out).description
    assert answers_as(run, out, drawn_folder) < 1e-4
    assert set(description.scores["test"].overall) >= PROBABILISTIC
    assert description.provenance
    test = read_split(run.split).image_ids("test")
    assert set(description.provenance.test_images) == {image_digest(name) for name in test}
    assert not [name for name in test if name.encode() in out.read_bytes()]
    asked = Predictions(read_split(run.split).frame["image_id"].to_numpy(str), np.ones((0, 7)))
    seen = seen_images(description, asked)
    assert seen
    assert set(asked.image_id) - set(seen.reasons) == set(test)
    rows = check_claims(load_model(out, threads=1), read_dataset(drawn_folder)).rows
    assert [row.score for row in rows if not row.confirmed] == []
    assert {"melanoma, sensitivity >= 0.4: sensitivity", "sets of one diagnosis"} <= {
        row.score for row in rows
    }


def test_thresholds_and_sets_are_claimed_as_they_were_measured(run: RunFolder, home: Path) -> None:
    def claimed() -> PartScores:
        calibration = run_calibration(run)
        assert calibration
        return claimed_scores(run, calibration)["test"]

    few: dict[str, Any] = {"coverage": 0.5, "points": REACHED}
    calibrate_run(run, **few)
    predict_test(run, execution=Execution(cache_root=home / "cache"))
    evaluate_part(run, "test")
    check = read_check(run, "test")
    assert check
    scores = claimed()
    assert [point.sensitivity for point in scores.points] == [
        Score(**point["found"]["sensitivity"]) for point in check.points
    ]
    assert scores.sets
    assert scores.sets.coverage["all"].covered == check.coverage[-1]["covered"]
    for other in ({**few, "coverage": 0.4}, {**few, "points": REACHED[:1]}):  # asked for after test was read
        calibrate_run(run, **other)
        assert (claimed().points, claimed().sets) == ((), None)
        assert set(claimed().overall) >= PROBABILISTIC
        calibrate_run(run, **few)
        assert claimed() == scores


def test_the_images_that_pass_are_claimed_where_all_of_test_was_looked_at(run: RunFolder, home: Path) -> None:
    predict_test(run, execution=Execution(cache_root=home / "cache"))
    images = evaluate_part(run, "test").images
    calibration = run_calibration(run)
    assert calibration
    assert claimed_scores(run, calibration)["test"].accepted is None
    for part, count, expected in (("val", images, None), ("test", images - 1, None), ("test", images, 0.75)):
        write_json(run.outsiders, {"kinds": [], "part": part, "images": count, "accepted": 0.75})
        assert claimed_scores(run, calibration)["test"].accepted == expected


def test_an_exported_ensemble_answers_as_it_did_and_names_no_image(
    runs: list[RunFolder], drawn_folder: Path, tmp_path: Path
) -> None:
    both = RunFolder(tmp_path / "both")
    make_ensemble(runs, both)
    description = export_run(both, tmp_path / "both.onnx").description
    assert answers_as(both, tmp_path / "both.onnx", drawn_folder) < 1e-4
    rejection = run_rejection(both)
    assert rejection
    assert description.ood_cutoff == rejection.cutoff
    assert "test" not in description.scores
    assert description.provenance
    assert description.provenance.test_images == ()


def test_each_faster_precision_is_measured_and_stated(run: RunFolder, tmp_path: Path) -> None:
    full = export_run(run, tmp_path / "full.onnx")
    available = {name for name in FASTEST_FIRST if has_instructions(name)}
    assert set(full.description.precisions) == available
    written = read_run_predictions(run, "cal")
    assert written.y_true is not None
    for name, check in full.description.precisions.items():
        assert check.images == len(written.image_id)
        low = load_model(full.path, threads=1, precision=name)
        assert low.precision == name
        folder = read_dataset(Path(read_json(run.data)["folder"]))
        paths = dict(zip(folder.table["image_id"], folder.paths, strict=True))
        found = low.predict(paths[image] for image in written.image_id).probabilities
        assert low.margin == check.margin
        assert np.abs(found - written.y_prob).max() <= check.largest_difference + 1e-4
        assert np.array_equal(found.argmax(1), written.y_prob.argmax(1))  # 1 in 200 of them is none
        assert check.pace
        assert check.top_changed is not None


def test_without_the_data_no_precision_is_stated(run: RunFolder, tmp_path: Path) -> None:
    write_json(run.data, {**read_json(run.data), "folder": str(tmp_path / "gone")})
    description = export_run(run, tmp_path / "full.onnx").description
    assert (description.precisions, description.int8_ranges) == ({}, {})


@pytest.mark.parametrize("precision", ["bf16", "int8"])
def test_fewer_bits_are_counted_and_claim_what_they_score(
    run: RunFolder, drawn_folder: Path, home: Path, precision: Precision
) -> None:
    if not has_instructions(precision):
        pytest.skip(f"this processor has no instructions for {precision}")
    predict_test(run, execution=Execution(cache_root=home / "cache"))
    evaluate_part(run, "test")
    out = run.path / "model.onnx"
    description = export_run(
        run, out, precision=precision, execution=Execution(cache_root=home / "cache")
    ).description
    written, check = read_run_predictions(run, "cal"), description.precision_check
    assert check
    assert check.images == len(written.image_id)
    model = load_model(out, threads=1)
    assert model.precision == precision
    assert model.description == description
    dataset = read_dataset(drawn_folder)
    paths = dict(zip(dataset.table["image_id"], dataset.paths, strict=True))
    found = model.predict(paths[name] for name in written.image_id).probabilities
    assert model.margin == check.margin
    assert np.array_equal(found.argmax(1), written.y_prob.argmax(1))
    assert np.abs(found - written.y_prob).max() <= check.largest_difference + 1e-5
    assert description.calibration == run_calibration(run)
    assert set(description.scores) == {"val"}  # those on test are of another file
    assert description.provenance
    assert description.provenance.test_images == ()
    val = read_run_predictions(run, "val")
    said = model.predict(paths[name] for name in val.image_id).probabilities
    assert val.y_true is not None
    loss = -np.log(said[np.arange(len(said)), val.y_true]).mean()
    assert description.scores["val"].overall["log_loss"].value == pytest.approx(loss, abs=1e-5)


def test_an_ensemble_has_eight_bits_for_each_member(runs: list[RunFolder], tmp_path: Path) -> None:
    both = RunFolder(tmp_path / "both")
    make_ensemble(runs, both)
    alone = export_run(runs[0], tmp_path / "alone.onnx").description
    assert len(export_run(both, tmp_path / "fp32.onnx").description.int8_ranges) == 2 * len(alone.int8_ranges)


@pytest.mark.parametrize("precision", ["bf16", "int8"])
def test_what_cannot_be_counted_is_refused_before_the_work(
    run: RunFolder, tmp_path: Path, precision: Precision
) -> None:
    write_json(run.data, {**read_json(run.data), "folder": str(tmp_path / "gone")})
    with pytest.raises(
        RunError, match=rf"the effect of {precision} is measured on the images of cal, but.*gone"
    ):
        export_run(run, tmp_path / "model.onnx", precision=precision)


def test_another_model_than_the_one_that_predicted_is_not_written(
    runs: list[RunFolder], tmp_path: Path
) -> None:
    both, out = RunFolder(tmp_path / "both"), tmp_path / "both.onnx"
    make_ensemble(runs, both)
    written = read_run_predictions(both, "val")
    sharp = np.where(np.arange(7) == 3, 9.0, 0.0) + np.zeros((len(written.image_id), 1))
    write_predictions(replace(written, y_prob=softmax(sharp), logits=sharp), both.predictions("val"))
    out.write_bytes(b"what stood here before")
    with pytest.raises(BundleError, match=r"both\.onnx: was not written: on \d+ images of val its prob"):
        export_run(both, out)
    assert out.read_bytes() == b"what stood here before"


def test_scores_of_another_scaling_are_not_claimed(run: RunFolder, home: Path) -> None:
    def claimed() -> set[str]:
        calibration = run_calibration(run)
        assert calibration
        scores = claimed_scores(run, calibration)
        return set(scores["test"].overall) if "test" in scores else set()

    predict_test(run, execution=Execution(cache_root=home / "cache"))
    evaluate_part(run, "test")
    assert claimed() >= PROBABILISTIC
    record = read_json(run.scores)
    calibrate_run(run, method="vector")  # fitted on the same images, and other answers
    assert claimed() == set()
    evaluate_part(run, "test")
    assert claimed() >= PROBABILISTIC
    calibrate_run(run, method="temperature")
    assert claimed() == set()
    temperature = record["calibration"]["test"]["scaling"]["temperature"]
    record["calibration"]["test"]["scaling"]["temperature"] = 2 * temperature
    write_json(run.scores, record)
    assert "balanced_accuracy" in claimed()
    assert not claimed() & PROBABILISTIC


def test_scores_that_noted_no_scaling_are_known_by_their_thresholds(run: RunFolder, home: Path) -> None:
    predict_test(run, execution=Execution(cache_root=home / "cache"))
    evaluate_part(run, "test")
    record, calibration = read_json(run.scores), json.loads(run.calibration.read_text())
    del record["calibration"]["test"]["scaling"]
    for place, stated in enumerate(
        (record["calibration"]["test"]["points"], calibration["operating_points"])
    ):
        for point in stated:
            point["threshold"] = 0.25
        assert place < 2
    write_json(run.scores, record)
    write_json(run.calibration, calibration)
    found = run_calibration(run)
    assert found
    assert set(claimed_scores(run, found)["test"].overall) >= PROBABILISTIC
    calibration["operating_points"][0]["threshold"] = 0.5
    write_json(run.calibration, calibration)
    other = run_calibration(run)
    assert other
    assert "test" not in claimed_scores(run, other)
