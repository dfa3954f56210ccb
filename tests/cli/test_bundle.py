import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from conftest import ROOT
from lesionwise.bundle.load import open_content, read_bundle, seal
from lesionwise.cli.app import app

SHIPPED = ROOT / "src" / "lesionwise" / "weights" / "small.onnx"


def show(path: Path, *options: str) -> str:
    done = CliRunner().invoke(app, ["bundle", "show", str(path), *options])
    assert done.exit_code == 0, done.output
    return done.output


def test_show_says_what_a_reader_must_know() -> None:
    said = show(SHIPPED)
    for fact in ("CC BY-NC 4.0", "not a medical device", "no promise for df", "0.698 (0.660 to 0.734)"):
        assert fact in said


def test_show_gives_the_whole_description_as_json() -> None:
    said = json.loads(show(SHIPPED, "--json"))
    assert said["sha256"] == read_bundle(SHIPPED).sha256
    assert said["description"] == read_bundle(SHIPPED).description.model_dump(mode="json")


def test_show_begins_with_the_stamp_of_a_leaky_split(tmp_path: Path) -> None:
    content = SHIPPED.read_bytes()
    description = open_content(content)
    length = len(seal(b"", description))
    leaky = tmp_path / "leaky.onnx"
    leaky.write_bytes(seal(content[:-length], description.model_copy(update={"stamp": "LEAKY SPLIT"})))
    assert show(leaky).startswith("LEAKY SPLIT")


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
