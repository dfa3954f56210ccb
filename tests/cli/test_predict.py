import json
import shlex
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from lesionwise.bundle.engine import load_model
from lesionwise.cli.app import app
from lesionwise.data.metadata import encoding_of
from lesionwise.errors import LesionwiseError
from serve.drawn_model import LIGHT, picture, write_bundle


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
    assert "Predicted 1 image, 1 repeated and left out" in done.output
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
        (["--out", "one.png"], "is an input; expected --out to name another"),
        (["--out", "p.csv", "--errors", "one.png"], "is an input; expected --errors to name another"),
        (["--out", "best", "--model", "best"], "is an input; expected --out to name another"),
        (["--out", "p.csv", "--quiet", "missing.png"], "missing.png: expected a file"),
        (["--out", "p.foo"], "expected --out to end in .csv or .parquet"),
        (["--out", "p"], "expected --out to end in .csv or .parquet"),
        (["--out", "p.csv", "--errors", "e.parquet"], "expected --errors to end in .csv"),
        (["--format", "isic"], "--format isic is for a table. Add --out FILE.csv"),
        (["--resume"], "--resume is for a table"),
        (["--engine", "ray"], "--engine ray writes a table"),
        (["--out", "p.csv", "--engine", "ray", "--age", "40"], "--age is for --engine local"),
        (["--sex", "femal"], 'Expected --sex to be female or male but got "femal". Did you mean "female"?'),
        (["--site", "bak"], 'Did you mean "back"?'),
        (["--heatmaps", "one.png"], "one.png: expected --heatmaps to name a folder but it is a file"),
        (["--age", "400"], "Expected --age to be years from 0 to 120"),
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


def test_a_table_of_metadata_is_not_written_over(
    image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    known = tmp_path / "k.csv"
    known.write_text("image_id,age\none,40\n")
    done = predict(image, "--out", "k.csv", "--metadata", "k.csv")
    assert isinstance(done.exception, LesionwiseError)
    assert "is an input; expected --out to name another" in str(done.exception)
    assert known.read_text() == "image_id,age\none,40\n"


@pytest.fixture(scope="module")
def drawn_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A hand-made model that takes age, sex and site, and changes its answer with them."""
    return write_bundle(
        tmp_path_factory.mktemp("drawn") / "m.onnx", metadata=encoding_of(("age", "sex", "localization"))
    )


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    """Three light pictures, and a file that is none."""
    (tmp_path / "photographs").mkdir()
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        (tmp_path / "photographs" / name).write_bytes(picture(LIGHT))
    (tmp_path / "photographs" / "broken.jpg").write_bytes(b"no image")
    return tmp_path / "photographs"


@pytest.mark.parametrize("table", [False, True])
def test_the_last_line_and_the_json_state_the_precision(
    photographs: Path, drawn_model: Path, tmp_path: Path, *, table: bool
) -> None:
    where = ["--out", tmp_path / "p.csv"] if table else []
    wished = ["--model", drawn_model, "--precision", "auto", *where]
    done = predict(photographs / "a.jpg", *wished)
    assert done.exit_code == 0, done.output
    assert done.stderr.splitlines()[-1] == "Computed in fp32."
    assert json.loads(predict(photographs / "a.jpg", *wished, "--json").stdout)["precision"] == "fp32"
    refused = predict(photographs / "a.jpg", "--model", drawn_model, "--precision", "int8", *where)
    assert isinstance(refused.exception, LesionwiseError)
    assert "can be computed in fp32 or bf16, and not in int8" in str(refused.exception)


def test_one_image_is_answered_in_words(photographs: Path, drawn_model: Path) -> None:
    done = predict(photographs / "a.jpg", "--model", drawn_model)
    assert done.exit_code == 0
    assert "a.jpg: melanocytic nevus (nv) with" in done.stdout
    for words in ("Cannot be excluded: nv", "% malignant or pre-malignant", "melanoma", "vascular lesion"):
        assert words in done.stdout
    assert "drawn also takes age, sex and site" in done.stderr


def test_a_folder_gives_a_table_its_counts_what_was_left_out_and_the_next_command(
    photographs: Path, drawn_model: Path
) -> None:
    done = predict(photographs, "--model", drawn_model, "--quiet")
    assert done.exit_code == 1
    lines = done.stdout.splitlines()
    assert [line.split()[:3] for line in lines[1:4]] == [[name, "answer", "nv"] for name in "abc"]
    assert "3 images: 3 answered." in lines
    assert "1 file was left out:" in lines
    assert "broken.jpg: is not an image" in done.stdout
    assert lines[-1].endswith("--out predictions.csv")
    assert not [path.name for path in Path.cwd().iterdir() if path.suffix == ".csv"]


def test_what_is_given_of_all_images_reaches_the_model(photographs: Path, drawn_model: Path) -> None:
    done = predict(photographs / "a.jpg", "--model", drawn_model, "--age", "70", "--json")
    found = json.loads(done.stdout)
    assert [one["top"] for one in found["results"]] == ["bcc"]
    assert found["decisions"] == {"answer": 1, "uncertain": 0, "not_a_lesion_image": 0}
    (photographs / "known.csv").write_text("image_id,age\nb,\n")
    done = predict(
        photographs,
        "--model",
        drawn_model,
        "--sex",
        "male",
        "--metadata",
        photographs / "known.csv",
        "--json",
    )
    found = json.loads(done.stdout)
    assert [one["top"] for one in found["results"]] == ["bcc", "nv", "bcc"]  # its own row holds for b
    assert found["left_out"][0]["image_id"] == "broken"


def test_a_model_of_images_alone_refuses_what_is_known_besides(photographs: Path, tmp_path: Path) -> None:
    done = predict(photographs, "--model", write_bundle(tmp_path / "m.onnx"), "--age", "40")
    assert isinstance(done.exception, LesionwiseError)
    assert "--age: drawn does not use it: it takes images alone" in str(done.exception)


def test_a_table_of_paths_with_unused_metadata_is_noted(photographs: Path, drawn_model: Path) -> None:
    (photographs / "list.csv").write_text("path,age,sex\na.jpg,40,male\n")
    done = predict(photographs / "list.csv", "--model", drawn_model)
    assert "list.csv: has age and sex, which were not used. To use them, add --metadata" in done.stderr


@pytest.mark.parametrize(
    ("name", "encoding", "text"),
    [
        ("list.csv", "utf-16", "path,age_approx,gender\na.jpg,40,male\n"),
        ("list.csv", "utf-8", "path;age_approx;gender\na.jpg;40;male\n"),
        ("list.tsv", "utf-8", "path\tage_approx\tgender\na.jpg\t40\tmale\n"),
    ],
)
def test_unused_metadata_is_noted_of_every_table_that_is_read(
    photographs: Path, drawn_model: Path, name: str, encoding: str, text: str
) -> None:
    (photographs / name).write_text(text, encoding=encoding)
    done = predict(photographs / name, "--model", drawn_model)
    assert done.exit_code == 0
    assert f"{name}: has age_approx and gender, which were not used" in done.stderr


def test_a_pattern_of_tables_is_a_pattern(photographs: Path, drawn_model: Path) -> None:
    (photographs / "list.csv").write_text("path\na.jpg\nb.jpg\n")
    done = predict(photographs / "*.csv", "--model", drawn_model)
    assert done.exit_code == 0
    assert "2 images: 2 answered." in done.stdout


def test_the_command_that_a_table_on_the_screen_suggests_writes_all_numbers(
    photographs: Path, drawn_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["predict", str(photographs), "--model", str(drawn_model)]
    monkeypatch.setattr(sys, "argv", ["lesionwise", *words])
    monkeypatch.chdir(photographs.parent)
    *_, last = CliRunner().invoke(app, words).stdout.splitlines()
    suggested = shlex.split(last.partition("lesionwise ")[2])
    assert CliRunner().invoke(app, suggested).exit_code == 1  # of the broken file
    assert len(Path("predictions.csv").read_text().splitlines()) == 4


def test_one_image_that_is_named_twice_is_answered_in_words(photographs: Path, drawn_model: Path) -> None:
    done = predict(photographs / "a.jpg", photographs / "a.jpg", "--model", drawn_model)
    assert "a.jpg: melanocytic nevus (nv) with" in done.stdout
    assert "1 repeated image was left out." in done.stdout
    assert "cannot be excluded\n" not in done.stdout


def test_the_head_of_the_table_is_as_wide_as_its_rows(photographs: Path, drawn_model: Path) -> None:
    done = predict(photographs / "a.jpg", photographs / "b.jpg", "--model", drawn_model)
    head, row, *_ = done.stdout.splitlines()
    assert head.index("decision") == row.index("answer")


def test_a_model_without_calibration_excludes_nothing(photographs: Path, tmp_path: Path) -> None:
    model = write_bundle(tmp_path / "m.onnx", calibration=None)
    words = "not calibrated: its probabilities are raw, and no diagnosis can be excluded."
    done = predict(photographs / "a.jpg", "--model", model)
    assert f"This model is {words}" in done.stderr
    assert f"The model is {words}" in done.stdout
    row = predict(photographs, "--model", model).stdout.splitlines()[1]
    assert row.endswith(" not calibrated")


def test_a_file_of_several_pictures_is_noted(tmp_path: Path, drawn_model: Path) -> None:
    first, second = (Image.new("RGB", (60, 45), colour) for colour in ("tan", "red"))
    first.save(tmp_path / "two.tif", save_all=True, append_images=[second])
    done = predict(tmp_path / "two.tif", "--model", drawn_model, "--quiet")
    assert "1 file contains several pictures; the first was used." in done.stdout
    done = predict(tmp_path / "two.tif", "--model", drawn_model, "--out", tmp_path / "p.csv", "--json")
    found = json.loads(done.stdout)
    assert found["several_pictures"] == 1
    done = predict(tmp_path / "two.tif", tmp_path / "two.tif", "--model", drawn_model, "--json")
    printed = json.loads(done.stdout)
    assert (printed["several_pictures"], printed["repeated"], printed["predicted"]) == (1, 1, 1)
    assert found.keys() - printed.keys() == {"out", "errors"}
    done = predict(tmp_path / "two.tif", "--model", drawn_model, "--out", tmp_path / "p.csv")
    assert "1 file contains several pictures; the first was used." in done.stdout


def test_a_table_reports_how_many_images_got_which_decision(photographs: Path, drawn_model: Path) -> None:
    done = predict(photographs, "--model", drawn_model, "--out", "p.csv", "--quiet")
    assert "3 answered." in done.stdout
    assert "lesionwise evaluate p.csv --truth TRUTH.csv" in done.stdout


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"collection": "phantom"}, "Drawn phantoms, not photographs"),
        ({"stamp": "LEAKY SPLIT"}, "LEAKY SPLIT"),
    ],
)
def test_a_stamped_model_says_so_before_it_answers(
    photographs: Path, tmp_path: Path, change: dict[str, str], words: str
) -> None:
    model = write_bundle(tmp_path / "m.onnx", **change)
    done = predict(photographs / "a.jpg", "--model", model)
    assert done.stderr.startswith(words)
    shown = load_model(model).predict(photographs / "a.jpg")._repr_html_()
    assert words in shown
    done = CliRunner().invoke(app, ["bundle", "show", str(model)])
    assert done.output.startswith(words)


@pytest.mark.skipif(find_spec("pyarrow") is None, reason="Arrow is not installed")
def test_a_finished_parquet_is_resumed_like_a_csv(image: Path, tmp_path: Path) -> None:
    out = tmp_path / "p.parquet"
    other = tmp_path / "other" / "one.png"
    other.parent.mkdir()
    Image.new("RGB", (60, 45), "white").save(other)
    assert predict(image, "--out", out, "--quiet").exit_code == 0
    assert sorted(path.name for path in tmp_path.glob("p.*")) == ["p.parquet", "p.parquet.settings.json"]
    done = predict(image, "--out", out, "--resume", "--quiet")
    assert "is finished and holds 1 image. Nothing is left to do." in done.output
    refused = predict(image, "--out", out, "--resume", "--tta", "--quiet")
    assert "--tta was off, now on" in str(refused.exception)
    assert sorted(path.name for path in tmp_path.glob("p.*")) == ["p.parquet", "p.parquet.settings.json"]
    added = predict(image, other, "--out", out, "--resume", "--quiet", "--json")
    assert (json.loads(added.stdout)["predicted"], json.loads(added.stdout)["kept"]) == (1, 1)
    done = predict(image, other, "--out", out, "--resume", "--quiet")
    assert "holds 2 images" in done.output


def test_the_challenge_format_is_resumed_from_the_same_places_alone(image: Path, tmp_path: Path) -> None:
    options = ("--out", tmp_path / "p.csv", "--format", "isic", "--quiet")
    assert predict(image, *options).exit_code == 0
    assert "Nothing is left to do" in predict(image, *options, "--resume").output
    (tmp_path / "other").mkdir()
    shutil.copy(image, tmp_path / "other" / "one.png")
    refused = predict(tmp_path / "other", *options, "--resume")
    assert f"PATH was {image}, now {tmp_path / 'other'}" in str(refused.exception)
