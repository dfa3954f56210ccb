"""`evaluate`, `compare` and `report` on files from outside."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from evaluation.simulation import Simulated, simulate
from lesionwise import cli
from lesionwise.labels import CODES

ISIC = ["MEL", "NV", "BCC", "AKIEC", "BKL", "DF", "VASC"]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A submission, its truth and its metadata."""
    folder, sample = tmp_path_factory.mktemp("files"), simulate(seed=3)
    ids = [f"ISIC_{index:07d}" for index in range(len(sample.y_true))]
    order = [CODES.index(code.lower()) for code in ISIC]
    for name, values in (
        ("a.csv", sample.y_prob),
        ("b.csv", _pulled(sample)),
        ("truth.csv", np.eye(7)[sample.y_true]),
    ):
        pd.DataFrame(values[:, order], columns=ISIC).assign(image=ids).to_csv(folder / name, index=False)
    meta = pd.DataFrame({"image_id": ids, "lesion_id": sample.groups, "dx": np.array(CODES)[sample.y_true],
                         "sex": np.where(np.arange(len(ids)) % 2, "female", "male")})  # fmt: skip
    meta.to_csv(folder / "meta.csv", index=False)
    return folder


def _pulled(sample: Simulated) -> np.ndarray:
    pulled = sample.y_prob * np.exp(np.eye(7)[sample.y_true])
    return np.asarray(pulled / pulled.sum(axis=1, keepdims=True))


def _call(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["lesionwise", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return int(ended.value.code or 0)


def test_a_submission_is_scored_with_truth_and_table(
    files: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ("evaluate", files / "a.csv", "--truth", files / "truth.csv", "--table", files / "meta.csv")
    assert _call(monkeypatch, *arguments, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["lesions"] == 140
    assert {row["value"] for row in found["subgroups"]} == {"female", "male", "1", "2", "3 or more"}
    assert _call(monkeypatch, *arguments) == 0
    shown = capsys.readouterr().out
    assert "balanced accuracy" in shown
    assert "95 % intervals by lesion" in shown


def test_scores_of_a_submission_become_a_folder_with_a_report(
    files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    assert _call(monkeypatch, "evaluate", files / "a.csv", "--table", files / "meta.csv", "--out", out) == 0
    assert "Predictions of a.csv" in (out / "report.html").read_text(encoding="utf-8")
    assert json.loads((out / "scores.json").read_text())["source"] == "a.csv"
    (out / "report.html").unlink()
    assert _call(monkeypatch, "report", out) == 0
    assert (out / "report.html").is_file()


def test_a_test_set_that_lacks_diagnoses_is_scored_and_reported_over_those_it_has(
    files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    meta = pd.read_csv(files / "meta.csv")
    kept = meta[~meta["dx"].isin(["df", "vasc", "mel"])]
    kept.to_csv(tmp_path / "meta.csv", index=False)
    said = pd.read_csv(files / "a.csv")
    said[said["image"].isin(kept["image_id"])].to_csv(tmp_path / "a.csv", index=False)
    arguments = ("evaluate", tmp_path / "a.csv", "--table", tmp_path / "meta.csv", "--out", tmp_path / "out")
    assert _call(monkeypatch, *arguments) == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown[2].split() == ["mel", "no", "image", "shows", "it"]  # melanoma comes first
    assert any("balanced accuracy over 4 of 7" in line for line in shown)
    assert any(line.startswith("Not defined for these images") and "recall of df" in line for line in shown)
    assert shown[-1].startswith("Verdict: by balanced accuracy over 4 of 7 the model is better than")
    assert "no image shows a melanoma" in shown[-1]
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "balanced accuracy over 4 of 7" in page
    assert "No image shows a melanoma" in page

    (tmp_path / "b.csv").write_text((tmp_path / "a.csv").read_text())
    both = ("compare", tmp_path / "a.csv", tmp_path / "b.csv", "--table", tmp_path / "meta.csv")
    assert _call(monkeypatch, *both) == 0
    assert "\n  balanced accuracy over 4 of 7 +0.000" in capsys.readouterr().out


def test_the_verdict_counts_the_melanomas_that_are_missed(
    files: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _call(monkeypatch, "evaluate", files / "a.csv", "--table", files / "meta.csv") == 0
    shown = capsys.readouterr().out.splitlines()
    meta, said = pd.read_csv(files / "meta.csv"), pd.read_csv(files / "a.csv")
    melanomas = (meta["dx"] == "mel").to_numpy()
    missed = (said[ISIC].idxmax(axis=1) != "MEL").to_numpy()[melanomas]
    assert f"misses {missed.sum()} of {melanomas.sum()} melanoma images" in shown[-1]
    assert shown[2].split()[0] == "mel"


def test_a_report_is_made_of_anybodys_csv(
    files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ("report", files / "a.csv", "--table", files / "meta.csv")
    assert _call(monkeypatch, *arguments, "--out", tmp_path / "out") == 0
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "Predictions of a.csv" in page
    capsys.readouterr()
    assert _call(monkeypatch, *arguments) == 2
    assert "needs --out DIR" in capsys.readouterr().err
    assert _call(monkeypatch, "report", tmp_path / "out", "--truth", files / "truth.csv") == 2
    assert "are for a CSV" in capsys.readouterr().err


def test_models_are_compared(
    files: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pair = ("compare", files / "a.csv", files / "b.csv", "--table", files / "meta.csv")
    assert _call(monkeypatch, *pair, "--json") == 0
    (found,) = json.loads(capsys.readouterr().out)["comparisons"]
    assert found["differences"]["accuracy"]["low"] > 0
    assert _call(monkeypatch, *pair) == 0
    shown = capsys.readouterr().out
    assert "0 is outside" in shown
    assert "exact McNemar p" in shown
    assert shown.splitlines()[-1].startswith(f"Verdict: {files / 'b.csv'} is best by balanced accuracy")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["evaluate", "a.csv"], "the true diagnoses are missing"),
        (["evaluate", "a.csv", "--truth", "truth.csv"], "the lesion of each image is missing"),
        (["evaluate", "a.csv", "--final"], "--final needs a run folder"),
        (["evaluate", ".", "--truth", "truth.csv"], "are for a CSV"),
        (["evaluate", ".", "--set", "view.size=96", "--classes", "mel"], "--set needs a run folder"),
        (["compare", "a.csv"], "at least two"),
        (["compare", "a.csv", "."], "expected a run folder"),
        (["report", "."], "expected a run folder"),
    ],
)
def test_wrong_use_is_told_in_a_line(
    files: Path,
    arguments: list[str],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(files)
    assert _call(monkeypatch, *arguments) == 2
    assert message in capsys.readouterr().err


def test_images_stand_for_lesions_only_on_request(
    files: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (
        _call(monkeypatch, "evaluate", files / "a.csv", "--truth", files / "truth.csv", "--by", "image") == 0
    )
    found = capsys.readouterr()
    assert "intervals are too narrow" in found.err
    assert "95 % intervals by image" in found.out


def _run_folder(path: Path, sample: Simulated, *, fingerprint: str) -> Path:
    path.mkdir()
    (path / "config.toml").touch()
    (path / "split.json").write_text(json.dumps({"fingerprint": fingerprint}))
    ids = [f"I{index}" for index in range(len(sample.y_true))]
    columns = {f"prob_{code}": sample.y_prob[:, index] for index, code in enumerate(CODES)}
    table = pd.DataFrame({"image_id": ids, "group": sample.groups,
                          "y_true": np.array(CODES)[sample.y_true], **columns})  # fmt: skip
    table.to_csv(path / "predictions-val.csv", index=False)
    return path


def test_runs_of_different_splits_are_not_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sample = simulate(seed=1)
    one = _run_folder(tmp_path / "one", sample, fingerprint="a" * 64)
    same = _run_folder(tmp_path / "same", sample, fingerprint="a" * 64)
    other = _run_folder(tmp_path / "other", sample, fingerprint="b" * 64)
    assert _call(monkeypatch, "compare", one, same) == 0
    capsys.readouterr()
    assert _call(monkeypatch, "compare", one, other) == 2
    assert "other: was made with split bbbbbbbbbbbb" in capsys.readouterr().err
    (one / "predictions-test.csv").touch()
    ids = tmp_path / "ids.txt"
    ids.write_text("ISIC_0024306\n")
    for command in (["evaluate"], ["check", "--train", ids, "--test", ids, "--predictions"]):
        assert _call(monkeypatch, *command, one / "predictions-test.csv") == 2
        assert "--final" in capsys.readouterr().err


def test_a_folder_of_other_predictions_is_written_over_only_when_that_is_asked_for(
    files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"

    def call(command: str, name: str, *more: object) -> int:
        words = ("--table", files / "meta.csv", "--out", out, *more)
        return _call(monkeypatch, command, files / name, *words)

    assert call("evaluate", "a.csv") == 0
    for command in ("evaluate", "report"):
        assert call(command, "a.csv") == 0
        before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
        capsys.readouterr()
        assert call(command, "b.csv") == 2
        assert "holds the evaluation of other predictions. Pass --force" in capsys.readouterr().err
        assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before
    (out / "figures" / "of-a-alone.csv").touch()
    assert call("report", "b.csv", "--force") == 0
    assert json.loads((out / "scores.json").read_text())["source"] == "b.csv"
    assert not (out / "figures" / "of-a-alone.csv").exists()
    (out / "config.toml").touch()
    assert call("evaluate", "b.csv", "--force") == 2
    assert "holds no evaluation of a CSV" in capsys.readouterr().err
    assert _call(monkeypatch, "report", out, "--force") == 2
    assert "are for a CSV" in capsys.readouterr().err


def test_scores_need_no_torch(files: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from lesionwise.cli import main\n"
        "try: main()\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        "assert 'torch' not in sys.modules and 'lightning' not in sys.modules"
    )
    arguments = ["evaluate", files / "a.csv", "--table", files / "meta.csv", "--out", tmp_path / "out"]
    subprocess.run([sys.executable, "-c", code, *map(str, arguments)], check=True)
