import json
import os
import re
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from bundle.conftest import MakeBundle
from bundle.small_model import images
from conftest import ROOT, Lesionwise
from lesionwise.cli.app import app
from lesionwise.cli.bundle import _card_of
from lesionwise.run_folder import RunFolder

SHIPPED = ROOT / "src" / "lesionwise" / "weights" / "best.onnx"


@pytest.mark.parametrize("missing", ["--classes", "--gives", "--divide", "--mean", "--std", "--channels"])
def test_import_guesses_nothing(missing: str) -> None:
    told = {
        "--classes": "nv",
        "--gives": "logits",
        "--divide": "1",
        "--mean": "0",
        "--std": "1",
        "--channels": "rgb",
    }
    options = [text for name, value in told.items() if name != missing for text in (name, value)]
    done = CliRunner().invoke(app, ["bundle", "import", "model.onnx", "--out", "out.onnx", *options])
    assert done.exit_code == 2
    assert missing in done.output


def test_a_card_that_is_older_than_the_weights_is_left_out_with_a_note(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = RunFolder(tmp_path)
    assert _card_of(run) is None
    assert capsys.readouterr().err == ""
    for path in (run.model_card, run.best):
        path.parent.mkdir(exist_ok=True)
        path.write_text("")
    os.utime(run.best, (1000, 1000))
    assert _card_of(run) == run.model_card
    assert capsys.readouterr().err == ""
    os.utime(run.model_card, (900, 900))
    assert _card_of(run) is None
    assert f"The model card {run.model_card} is left out, because it is older" in capsys.readouterr().err


@pytest.mark.parametrize("command", [["bundle", "import"], ["calibrate"]])
def test_help_speaks_of_the_pictures_of_this_command(command: list[str]) -> None:
    shown = " ".join(CliRunner().invoke(app, [*command, "--help"], env={"COLUMNS": "300"}).output.split())
    assert "each picture then counts as a lesion" in shown
    assert "True diagnoses of the pictures of --data" in shown
    for wrong in ("Unit that is resampled", "that of the card", "that of its recipe", "of a CSV"):
        assert wrong not in shown


def test_benchmark_prints_a_row_for_each_way_and_the_processor(
    make_bundle: MakeBundle, lesionwise: Lesionwise, tmp_path: Path
) -> None:
    bundle = make_bundle()
    found = json.loads(lesionwise("bundle", "benchmark", bundle.path, "--seconds", 0.01, "--json").out)
    assert found["processor"]
    assert found["drawn"]
    assert {(row["runtime"], row["precision"]) for row in found["paces"]} >= {("openvino", "fp32")}
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number, pixels in enumerate(images(3)):
        Image.fromarray(pixels).save(folder / f"{number}.png")
    shown = lesionwise("bundle", "benchmark", bundle.path, "--images", folder, "--seconds", 0.01)
    assert shown.code == 0, shown.err
    assert "Changed: share of 3 images whose likeliest diagnosis" in shown.out
    assert re.search(r"openvino +fp32 +1 +8 +[\d.]+ +0.0%", shown.out)
