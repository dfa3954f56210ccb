import json
from pathlib import Path

from typer.testing import CliRunner

from bundle.conftest import MakeBundle
from conftest import ROOT, Lesionwise
from lesionwise.bundle.description import PrecisionCheck
from lesionwise.bundle.load import CHECKSUM_KEY, KEY, open_content, read_bundle, seal
from lesionwise.bundle.onnx_file import metadata_entry, read_metadata
from lesionwise.cli.app import app
from lesionwise.cli.bundle_show import _calibration_facts

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


def test_show_states_what_each_precision_changes_and_what_auto_makes_of_it(
    make_bundle: MakeBundle, lesionwise: Lesionwise
) -> None:
    few = PrecisionCheck(
        images=869, changed=4, largest_difference=0.01, top_changed=2, balanced_accuracy_change=-0.0012
    )
    many = few.model_copy(update={"changed": 60})
    quick = {"margin": 0.426, "computed_again": 134, "pace": 1.34}
    bundle = make_bundle(precisions={"bf16": few.model_copy(update=quick), "int8": many})
    shown = " ".join(lesionwise("bundle", "show", bundle.path).out.split())
    assert (
        "4 of 869 answers on cal changed, 2 of them in the diagnosis, and "
        "balanced accuracy by -0.0012: auto may choose it; 1.34 times the pace of fp32; "
        "134 close calls (within 0.426 in log-odds) computed again in fp32" in shown
    )
    assert (
        "60 of 869 answers on cal changed, 2 of them in the diagnosis, and "
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
    assert "too slow for auto; 1.05 times the pace of fp32; 134 close calls" in shown
    assert "may choose it" not in shown
    bundle = make_bundle(precision="bf16", precision_check=slow)
    shown = " ".join(lesionwise("bundle", "show", bundle.path).out.split())
    assert (
        "bf16 (4 of 869 decisions on cal changed; "
        "134 close calls (within 0.426 in log-odds) computed again in fp32)" in shown
    )
