from pathlib import Path

import numpy as np
import pytest

from lesionwise.errors import RunError
from lesionwise.evaluation.calibrate import calibrate_run
from lesionwise.evaluation.ensemble import average, ensemble_members, is_calibrated, make_ensemble
from lesionwise.evaluation.predictions import Predictions, read_predictions, write_predictions
from lesionwise.evaluation.run_predictions import read_run_predictions
from lesionwise.evaluation.run_scores import evaluate_part
from lesionwise.report.html import write_report
from lesionwise.run_folder import RunFolder, open_run_folder, write_json, write_text

IMAGES = 280


def made(path: Path, seed: int, *, fingerprint: str = "a" * 64, parts: str = "val cal") -> RunFolder:
    run, rng = RunFolder(path), np.random.default_rng(seed)
    write_text(run.config, 'model = "small"\nimage_size = [24, 32]\nepochs = 1\n')
    write_text(run.split, "image_id,group,part,fold\n")
    write_json(run.split.with_suffix(".json"), {"fingerprint": fingerprint})
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
    other = made(tmp_path / "other", 5, fingerprint="b" * 64)
    unfinished = made(tmp_path / "unfinished", 6, parts="val")
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
        ([runs[0], other], "was made with split bbbbbbbbbbbb, .* with aaaaaaaaaaaa"),
        ([runs[0], unfinished], "has predictions of val, .* of val, cal"),
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
