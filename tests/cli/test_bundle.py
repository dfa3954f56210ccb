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
from lesionwise.bundle.description import PrecisionCheck
from lesionwise.bundle.load import CHECKSUM_KEY, KEY, open_content, read_bundle, seal
from lesionwise.bundle.onnx_file import metadata_entry, read_metadata
from lesionwise.cli.app import app
from lesionwise.cli.bundle import _calibration_facts, _card_of
from lesionwise.run_folder import RunFolder

SHIPPED = ROOT / "src" / "lesionwise" / "weights" / "best.onnx"


def show(*arguments: object) -> str:
    done = CliRunner().invoke(app, ["bundle", "show", *map(str, arguments)])
    assert done.exit_code == 0, done.output
    return done.output


def test_show_says_what_a_reader_must_know() -> None:
    said = show(SHIPPED)
    score = read_bundle(SHIPPED).description.scores["test"].overall["balanced_accuracy"]
    for fact in ("CC BY-NC 4.0", "not a medical device", "no promise for df", str(score)):
        assert fact in said


def test_show_gives_the_whole_description_as_json() -> None:
    said = json.loads(show(SHIPPED, "--json"))
    assert said["sha256"] == read_bundle(SHIPPED).sha256
    assert said["description"] == read_bundle(SHIPPED).description.model_dump(mode="json")


def test_show_shows_what_ships_unless_told_otherwise() -> None:
    assert json.loads(show("--json"))["sha256"] == read_bundle(SHIPPED).sha256


def test_show_begins_with_the_stamp_of_a_leaky_split(tmp_path: Path) -> None:
    content = SHIPPED.read_bytes()
    description = open_content(content)
    written = next(bytes(value) for key, value in read_metadata(content) if key == KEY)
    length = len(metadata_entry(KEY, written)) + len(metadata_entry(CHECKSUM_KEY, bytes(64)))
    leaky = tmp_path / "leaky.onnx"
    leaky.write_bytes(seal(content[:-length], description.model_copy(update={"stamp": "LEAKY SPLIT"})))
    assert show(leaky).startswith("LEAKY SPLIT")


def test_show_does_not_round_a_promise_to_another() -> None:
    calibration = read_bundle(SHIPPED).description.calibration
    assert calibration is not None
    sets = calibration.prediction_sets.model_copy(update={"coverage": 0.975})
    point = calibration.operating_points[0].model_copy(update={"at_least": 0.995})
    bold = calibration.model_copy(update={"prediction_sets": sets, "operating_points": (point,)})
    facts = _calibration_facts(bold)
    assert "97.5% of each diagnosis" in facts["sets"]
    assert facts["thresholds"].endswith("99.5%)")


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


def test_show_states_what_each_precision_changes_and_what_auto_makes_of_it(
    make_bundle: MakeBundle, lesionwise: Lesionwise
) -> None:
    few = PrecisionCheck(
        images=869, changed=4, largest_difference=0.01, top_changed=2, balanced_accuracy_change=-0.0012
    )
    many = few.model_copy(update={"top_changed": 60})
    quick = {"margin": 0.426, "computed_again": 134, "pace": 1.34}
    bundle = make_bundle(precisions={"bf16": few.model_copy(update=quick), "int8": many})
    shown = " ".join(lesionwise("bundle", "show", bundle.path).out.split())
    assert (
        "the likeliest diagnosis of 2 of 869 images of cal changed (with decisions and sets: 4), "
        "balanced accuracy by -0.0012: auto may choose it; 1.34 times the pace of fp32; "
        "134 near a tie (within 0.426) computed again in fp32" in shown
    )
    assert (
        "the likeliest diagnosis of 60 of 869 images of cal changed (with decisions and sets: 4), "
        "balanced accuracy by -0.0012: too much for auto" in shown
    )


def test_show_states_that_a_precision_is_too_slow_and_what_a_file_of_fewer_bits_computes_again(
    lesionwise: Lesionwise, make_bundle: MakeBundle
) -> None:
    slow = PrecisionCheck(
        images=869, changed=4, largest_difference=0.01, top_changed=2, balanced_accuracy_change=0.0,
        margin=0.426, computed_again=134, pace=1.05,
    )  # fmt: skip
    shown = " ".join(lesionwise("bundle", "show", make_bundle(precisions={"bf16": slow}).path).out.split())
    assert "too slow for auto; 1.05 times the pace of fp32; 134 near a tie" in shown
    assert "may choose it" not in shown
    bundle = make_bundle(precision="bf16", precision_check=slow)
    shown = " ".join(lesionwise("bundle", "show", bundle.path).out.split())
    assert (
        "bf16 (4 of 869 decisions on cal changed; 134 near a tie (within 0.426) computed again in fp32)"
        in shown
    )
