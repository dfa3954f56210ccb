import shutil
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from lesionwise.cli.app import app
from lesionwise.errors import LesionwiseError


def predict(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["predict", *map(str, arguments)])


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "one.png"
    Image.new("RGB", (60, 45), "tan").save(path)
    return path


def test_the_summary_tells_repeats_from_what_cannot_be_read(image: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.jpg").write_bytes(b"no image")
    done = predict(image, image, tmp_path / "bad.jpg", "--out", tmp_path / "p.csv", "--quiet")
    assert done.exit_code == 1
    assert "Predicted 1 image, 1 named again and left out" in done.output
    assert "; 1 could not be predicted" in done.output
    shutil.copy(image, tmp_path / "bad.jpg")
    assert predict(image, tmp_path / "bad.jpg", "--out", tmp_path / "p.csv").exit_code == 0
    assert not (tmp_path / "p-errors.csv").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--out", "."], "expected --out to name a file"),
        (["--out", "p.csv", "--errors", "."], "expected --errors to name a file"),
        (["--out", "p.csv", "--model", "."], "expected --model to name a file"),
        (["--out", "p.csv", "--errors", "./p.csv"], "expected --out and --errors to name two files"),
        (["--out", "one.png"], "is read; expected --out to name another"),
        (["--out", "p.csv", "--errors", "one.png"], "is read; expected --errors to name another"),
        (["--out", "best", "--model", "best"], "is read; expected --out to name another"),
        (["--out", "k.csv", "--metadata", "k.csv"], "is read; expected --out to name another"),
        (["--out", "p.csv", "--quiet", "missing.png"], "missing.png: expected a file"),
    ],
)
def test_wrong_names_are_refused_before_the_work(
    image: Path, options: list[str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(image.parent)
    before = image.read_bytes()
    done = predict("one.png", *options)
    assert isinstance(done.exception, LesionwiseError)
    assert message in str(done.exception)
    assert [path.name for path in image.parent.iterdir()] == ["one.png"]
    assert image.read_bytes() == before
