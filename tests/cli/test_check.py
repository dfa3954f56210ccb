"""`lesionwise check`: what it prints, as text and as JSON, and its exit code."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from lesionwise.cli.app import app
from lesionwise.data.known_lesions import known_lesions
from lesionwise.labels import CODES


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
    assert result.output.startswith("TAINTED. Of 1 test image, 1 (100.0%) shows")


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


def test_two_names_for_one_lesion_of_ham10000_are_joined(tmp_path: Path, drawn_folder: Path) -> None:
    """A folder may have two names for one lesion: training joins its photographs, and so does check."""
    first, second, *_ = siblings()
    dx = known_lesions().set_index("image_id")["dx"][first]
    table, *_ = drawn_folder.glob("*.csv")
    names = table.read_text().splitlines()[0]
    rows = [f"{lesion},{image},{dx},histo,50.0,male,back" for lesion, image in (("a", first), ("b", second))]
    folder = tmp_path / "data"
    (folder / "HAM10000_images_part_1").mkdir(parents=True)
    (folder / table.name).write_text("\n".join([names, *rows]))
    drawn = sorted((drawn_folder / "HAM10000_images_part_1").glob("*.jpg"))
    for image, source in zip((first, second), drawn, strict=False):
        shutil.copy(source, folder / "HAM10000_images_part_1" / f"{image}.jpg")
    arguments = [*write_lists(tmp_path, [first], [second]), "--data", str(folder), "--quiet"]
    result = CliRunner().invoke(app, arguments)
    assert result.output.startswith("TAINTED."), result.output
    assert result.exit_code == 1


def test_predictions_in_numbered_columns_are_scored_with_their_classes(tmp_path: Path) -> None:
    first, second, *_ = siblings()
    dx = known_lesions().set_index("image_id")["dx"]
    columns = [f"probability_class_{number}" for number in range(7)]
    rows = [[1.0 * (code == dx[image]) for code in CODES] for image in (first, second)]
    table = pd.DataFrame(rows, columns=columns).assign(filename=[first, second])
    table.to_csv(tmp_path / "p.csv", index=False)
    lists = write_lists(tmp_path, [first], [second])
    asked = [*lists, "--predictions", str(tmp_path / "p.csv"), "--json"]
    assert "--classes" in str(CliRunner().invoke(app, asked).exception)
    value = json.loads(CliRunner().invoke(app, [*asked, "--classes", ",".join(CODES)]).output)
    assert value["scores"]["all"]["overall"]["accuracy"]["value"] == 1


def test_without_a_training_list_the_verdict_says_what_can_be_tainted_at_most(tmp_path: Path) -> None:
    first, *_ = siblings()
    known = known_lesions()
    alone = known.loc[~known["lesion_id"].duplicated(keep=False), "image_id"].iloc[0]
    for images, code, verdict in (
        ([first, alone], 1, "TAINTED if a model was trained on the rest"),
        ([alone], 0, "CLEAN with any training set"),
    ):
        (tmp_path / "test.txt").write_text("\n".join(images))
        result = CliRunner().invoke(app, ["check", "--test", str(tmp_path / "test.txt")])
        assert (result.exit_code, result.output.startswith(verdict)) == (code, True)
    asked = ["check", "--test", str(tmp_path / "test.txt"), "--json"]
    found = json.loads(CliRunner().invoke(app, asked).output)
    assert (found["training_list_given"], found["train_images"]) == (False, len(known) - 1)


@pytest.mark.parametrize("column", ["split", "Subset"])
def test_one_table_of_both_parts_is_taken_by_its_column_and_the_note_names_it(
    tmp_path: Path, column: str
) -> None:
    first, second, *_ = siblings()
    path = tmp_path / "split.csv"
    path.write_text(f"image_id,{column},note\n{first},train,x\n{second},test,y\n")
    result = CliRunner().invoke(app, ["check", "--train", str(path), "--test", str(path)])
    assert result.exit_code == 1
    assert "TAINTED. Of 1 test image, 1 (100.0%) shows" in result.output
    assert result.output.count(f"split.csv: read image_id and {column}; left note.") == 1


def test_one_file_for_both_lists_needs_a_column_of_parts(tmp_path: Path) -> None:
    path = tmp_path / "ids.csv"
    path.write_text("\n".join(["image_id", *siblings()]))
    result = CliRunner().invoke(app, ["check", "--train", str(path), "--test", str(path)])
    assert "expected a column such as split but found none" in str(result.exception)
