import shutil
from pathlib import Path

import numpy as np
import pytest

from lesionwise.errors import RunError
from lesionwise.evaluation.predictions import Predictions, read_predictions, write_predictions
from lesionwise.evaluation.runs.calibrate import calibrate_run
from lesionwise.evaluation.runs.ensemble import (
    average,
    claim_ensemble_folder,
    ensemble_members,
    is_calibrated,
    make_ensemble,
)
from lesionwise.evaluation.runs.predictions import read_run_predictions
from lesionwise.evaluation.runs.scores import evaluate_part
from lesionwise.execution import Execution
from lesionwise.files import file_sha256, write_json, write_text
from lesionwise.report.html import write_report
from lesionwise.run_folder import RunFolder, open_run_folder
from lesionwise.training import ledger as together
from lesionwise.training.ledger import Look

IMAGES = 280


def made(path: Path, seed: int, *, split: str = "", parts: str = "val cal") -> RunFolder:
    run, rng = RunFolder(path), np.random.default_rng(seed)
    write_text(run.config, 'model = "small"\nimage_size = [24, 32]\nepochs = 1\n')
    write_text(run.split, f"image_id,group,part,fold\n{split}")
    write_json(run.split.with_suffix(".json"), {"fingerprint": file_sha256(run.split)})
    truth = np.arange(IMAGES) % 7
    for part in parts.split():
        logits = rng.normal(0, 3, (IMAGES, 7)) + 2 * np.eye(7)[truth]
        prob = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
        names = np.array([f"{part}-{number:04d}" for number in range(IMAGES)])
        write_predictions(Predictions(names, prob, truth, names, logits), run.predictions(part))
    return run


@pytest.fixture
def runs(tmp_path: Path) -> list[RunFolder]:
    return [made(tmp_path / name, seed) for seed, name in enumerate("abc")]


def test_it_answers_the_mean_of_what_its_members_answer(runs: list[RunFolder], tmp_path: Path) -> None:
    out = RunFolder(tmp_path / "out")
    assert make_ensemble(runs, out) == ["val", "cal"]
    expected = np.mean([read_predictions(run.predictions("val")).y_prob for run in runs], axis=0)
    stood = read_predictions(out.predictions("val"))
    np.testing.assert_allclose(stood.y_prob, expected, atol=1e-6)
    assert stood.logits is not None
    np.testing.assert_allclose(np.exp(stood.logits), stood.y_prob, atol=1e-6)


def test_members_are_averaged_as_calibrated_where_they_are(runs: list[RunFolder]) -> None:
    calibrate_run(runs[0])
    raw = read_predictions(runs[1].predictions("val")).y_prob
    calibrated = read_run_predictions(runs[0], "val").y_prob
    np.testing.assert_allclose(average(runs[:2], "val").y_prob, (raw + calibrated) / 2, atol=1e-6)
    assert [is_calibrated(run) for run in runs] == [True, False, False]


def test_the_order_of_rows_does_not_matter(runs: list[RunFolder]) -> None:
    expected = average(runs, "val").y_prob
    path = runs[1].predictions("val")
    head, *rows = path.read_text().splitlines()
    path.write_text("\n".join([head, *rows[::-1]]) + "\n")
    np.testing.assert_allclose(average(runs, "val").y_prob, expected, atol=1e-7)


def test_the_folder_can_be_evaluated_calibrated_reported_and_averaged_again(
    runs: list[RunFolder], tmp_path: Path
) -> None:
    out = RunFolder(tmp_path / "out")
    make_ensemble(runs[:2], out)
    alone = evaluate_part(runs[0], "val").overall["accuracy"].value
    assert evaluate_part(out, "val").overall["accuracy"].value > alone
    assert not is_calibrated(out)
    calibrate_run(out, method="temperature")
    assert is_calibrated(out)
    evaluate_part(out, "val")
    assert "balanced accuracy" in write_report(out).read_text(encoding="utf-8")
    further = RunFolder(tmp_path / "further")
    make_ensemble([open_run_folder(out.path), runs[2]], further)
    assert [member.path for member in ensemble_members(further)] == [out.path, runs[2].path]


def test_runs_that_do_not_belong_together_are_refused_with_the_reason(
    runs: list[RunFolder], tmp_path: Path
) -> None:
    other = made(tmp_path / "other", 5, split="a,a,test,0\n")
    unfinished = made(tmp_path / "unfinished", 6, parts="val")
    on_val = made(tmp_path / "on_val", 9, parts="cal")
    moved = made(tmp_path / "moved", 7)
    path = moved.predictions("val")
    path.write_text(path.read_text().replace("val-0003", "val-9999"))
    changed = made(tmp_path / "changed", 8)
    path = changed.predictions("cal")
    path.write_text(path.read_text().replace("cal-0001,cal-0001,bcc", "cal-0001,cal-0001,mel"))
    out = RunFolder(tmp_path / "out")
    for members, reason in (
        ([runs[0]], "Expected two runs or more but got one"),
        ([runs[0], runs[1], runs[0]], "is named twice"),
        (
            [runs[0], other],
            f"was made with split {file_sha256(other.split)[:12]}, .* with {file_sha256(runs[0].split)[:12]}",
        ),
        ([runs[0], unfinished], r"unfinished: has only predictions of val\. Finish its training"),
        ([unfinished, runs[0]], r"unfinished: has only predictions of val\. Finish its training"),
        ([runs[0], on_val], r"of cal, but .* of val, cal\. Combine runs that trained on val"),
        ([runs[0], moved], "has other images in val than"),
        ([runs[0], changed], "has other true diagnoses in cal than"),
    ):
        with pytest.raises(RunError, match=reason):
            make_ensemble(members, out)
    assert not out.path.exists()


def test_a_member_that_is_gone_is_missed(runs: list[RunFolder], tmp_path: Path) -> None:
    out = RunFolder(tmp_path / "out")
    make_ensemble(runs, out)
    runs[1].config.unlink()
    with pytest.raises(RunError, match="expected a run folder"):
        ensemble_members(out)


def test_a_member_that_is_calibrated_or_trained_anew_makes_the_ensemble_refused(
    runs: list[RunFolder], tmp_path: Path
) -> None:
    for run in runs:
        calibrate_run(run)
    out = RunFolder(tmp_path / "out")
    make_ensemble(runs, out)
    calibrate_run(runs[1], coverage=0.8)  # other sets of the same probabilities
    assert len(ensemble_members(out)) == 3
    calibrate_run(runs[1], method="vector")
    with pytest.raises(RunError, match=r"b: was trained or calibrated again .* Make the ensemble again"):
        ensemble_members(out)
    calibrate_run(runs[1])
    assert len(ensemble_members(out)) == 3
    write_text(runs[2].checkpoints / "best.ckpt", "other weights")
    with pytest.raises(RunError, match="c: was trained or calibrated again"):
        ensemble_members(out)


def test_an_ensemble_of_ensembles_notices_what_changed_inside(runs: list[RunFolder], tmp_path: Path) -> None:
    inner, out = RunFolder(tmp_path / "inner"), RunFolder(tmp_path / "out")
    make_ensemble(runs[:2], inner)
    make_ensemble([inner, runs[2]], out)
    calibrate_run(inner, method="temperature")
    with pytest.raises(RunError, match="inner: was trained or calibrated again"):
        ensemble_members(out)


def test_an_ensemble_that_was_stopped_is_made_in_its_folder_and_a_finished_one_kept(
    runs: list[RunFolder], tmp_path: Path
) -> None:
    out = claim_ensemble_folder(tmp_path / "out")
    make_ensemble(runs, out)
    with pytest.raises(RunError, match="holds an ensemble already"):
        claim_ensemble_folder(out.path)
    out.predictions("cal").unlink()  # the last that is written
    make_ensemble(runs, claim_ensemble_folder(out.path))
    assert out.predictions("cal").is_file()
    with pytest.raises(RunError, match=r"is not empty and holds no .*ensemble. Pass another --out"):
        claim_ensemble_folder(runs[0].path)


def test_folds_that_are_not_finished_do_not_count(runs: list[RunFolder], tmp_path: Path) -> None:
    crossed = RunFolder(tmp_path / "crossed")
    for fold in (1, 2):
        shutil.copytree(runs[fold].path, crossed.path / f"fold-{fold}")
    write_json(crossed.cross_validation, {"done": [1]})
    assert not is_calibrated(crossed)
    calibrate_run(RunFolder(crossed.path / "fold-1"))
    assert is_calibrated(crossed)
    write_json(crossed.cross_validation, {"done": [1, 2]})
    assert not is_calibrated(crossed)


def test_test_predictions_of_a_calibrated_ensemble_are_written_calibrated(
    runs: list[RunFolder], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def predict(run: RunFolder, _: Execution) -> Look:
        shutil.copyfile(run.predictions("val"), run.predictions("test"))
        return Look(1, tmp_path / "ledger.csv")

    monkeypatch.setattr(together, "predict_test", predict)
    out = RunFolder(tmp_path / "out")
    make_ensemble(runs, out)
    write_text(out.split, runs[0].split.read_text())
    calibration = calibrate_run(out, method="temperature")
    assert together.predict_test_together(out) == Look(1, tmp_path / "ledger.csv")
    stood = read_predictions(out.predictions("test"))
    assert stood.logits is not None
    np.testing.assert_allclose(stood.y_prob, calibration.probabilities(stood.logits), atol=1e-6)
    assert np.abs(stood.y_prob - np.exp(stood.logits)).max() > 0.01
