"""`lesionwise check`: what it prints, as text and as JSON, and its exit code."""

import json
import shutil
from pathlib import Path

from typer.testing import CliRunner

from lesionwise.cli.app import app
from lesionwise.data.known_lesions import known_lesions


def write_lists(folder: Path, train: list[str], test: list[str]) -> list[str]:
    (folder / "train.txt").write_text("\n".join(train))
    (folder / "test.csv").write_text("\n".join(["image_id", *test]))
    return ["check", "--train", str(folder / "train.txt"), "--test", str(folder / "test.csv")]


def siblings() -> list[str]:
    known = known_lesions()
    lesion = known["lesion_id"][known["lesion_id"].duplicated()].iloc[0]
    images: list[str] = known.loc[known["lesion_id"] == lesion, "image_id"].tolist()
    return images


def test_a_tainted_test_set_ends_with_1_and_says_so(tmp_path: Path) -> None:
    first, second, *_ = siblings()
    result = CliRunner().invoke(app, write_lists(tmp_path, [first], [second]))
    assert result.exit_code == 1
    assert result.output.startswith("TAINTED. Of 1 test images, 1 (100.0%)")


def test_a_clean_test_set_ends_with_0(tmp_path: Path) -> None:
    known = known_lesions().drop_duplicates("lesion_id")["image_id"].tolist()
    result = CliRunner().invoke(app, write_lists(tmp_path, known[:20], known[20:30]))
    assert result.exit_code == 0
    assert result.output.startswith("CLEAN.")


def test_json_holds_every_id(tmp_path: Path) -> None:
    first, second, *_ = siblings()
    result = CliRunner().invoke(app, [*write_lists(tmp_path, [first], [second]), "--json"])
    value = json.loads(result.output)
    assert value["tainted"] == {second: "same lesion"}
    assert value["by_reason"]["same lesion"] == 1


def test_a_table_of_other_images_is_taken(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("image_id,lesion_id\na,1\nb,1\n")
    arguments = [*write_lists(tmp_path, ["a"], ["b"]), "--table", str(tmp_path / "t.csv")]
    assert CliRunner().invoke(app, arguments).exit_code == 1


def test_identical_images_are_found_where_the_images_are(tmp_path: Path, drawn_folder: Path) -> None:
    folder = Path(shutil.copytree(drawn_folder, tmp_path / "data"))
    rows = (folder / "HAM10000_metadata.csv").read_text().splitlines()[1:]
    one, other = rows[0].split(",")[1], rows[-1].split(",")[1]
    images = folder / "HAM10000_images_part_1"
    (images / f"{other}.jpg").write_bytes((images / f"{one}.jpg").read_bytes())
    arguments = [*write_lists(tmp_path, [one], [other]), "--table", str(folder / "HAM10000_metadata.csv")]
    assert CliRunner().invoke(app, arguments).exit_code == 0
    assert CliRunner().invoke(app, [*arguments, "--data", str(folder), "--quiet"]).exit_code == 1
