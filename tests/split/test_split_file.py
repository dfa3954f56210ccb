from pathlib import Path

import pytest
from typer.testing import CliRunner

from lesionwise.cli.app import app
from lesionwise.data.dataset import Dataset
from lesionwise.errors import SplitError
from lesionwise.files import file_sha256, read_json
from lesionwise.labels import LEAKY_STAMP
from lesionwise.split.assign import make_split
from lesionwise.split.split_file import read_split, verify_replaceable, write_split


def test_a_split_comes_back_as_it_was_written(drawn: Dataset, tmp_path: Path) -> None:
    split = make_split(drawn, seed=5)
    write_split(split, tmp_path / "split.csv")
    again = read_split(tmp_path / "split.csv")
    assert again.fingerprint == split.fingerprint == file_sha256(tmp_path / "split.csv")
    assert again.meta == {"by": "lesion", "seed": 5, "folds": 5}
    assert not again.leaky


def test_a_split_by_image_is_stamped_and_stays_so(drawn: Dataset, tmp_path: Path) -> None:
    write_split(make_split(drawn, by="image"), tmp_path / "split.csv")
    assert read_json(tmp_path / "split.json")["stamp"] == LEAKY_STAMP
    assert read_split(tmp_path / "split.csv").leaky


def test_the_json_counts_images_by_part(drawn: Dataset, tmp_path: Path) -> None:
    split = make_split(drawn)
    write_split(split, tmp_path / "split.csv")
    counts = read_json(tmp_path / "split.json")["images"]
    assert counts == {part: len(split.image_ids(part)) for part in ("train", "val", "cal", "test")}
    assert sum(counts.values()) == len(drawn.table)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("image_id,part,fold\na,train,1\n", "group is missing"),
        ("image_id,group,part,fold\na,g,train,1\na,g,train,1\n", "a is in more than one row"),
        ("image_id,group,part,fold\na,g,holdout,1\n", "found holdout"),
        ("", "cannot be read as a split"),
    ],
)
def test_a_faulty_file_is_refused_with_the_reason(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "split.csv").write_text(text)
    with pytest.raises(SplitError, match=message):
        read_split(tmp_path / "split.csv")


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SplitError, match="cannot be read"):
        read_split(tmp_path / "nothing.csv")


def test_rows_that_were_edited_are_refused_until_they_stand_alone(drawn: Dataset, tmp_path: Path) -> None:
    path = tmp_path / "split.csv"
    write_split(make_split(drawn), path)
    path.write_text(path.read_text().replace(",val,", ",test,", 1))
    with pytest.raises(SplitError, match=r"was edited after it was made: split\.json.*Put the file back"):
        read_split(path)
    (tmp_path / "split.json").unlink()
    assert read_split(path).meta == {}


def test_a_split_takes_the_place_of_itself_alone(drawn: Dataset, tmp_path: Path) -> None:
    path, split = tmp_path / "split.csv", make_split(drawn)
    verify_replaceable(path, split)
    write_split(split, path)
    verify_replaceable(path, split)
    with pytest.raises(SplitError, match=r"holds another split, with fingerprint .*Pass --force"):
        verify_replaceable(path, make_split(drawn, seed=9))
    path.write_text("notes")
    with pytest.raises(SplitError, match="holds something other than a split"):
        verify_replaceable(path, split)


def test_the_command_writes_over_another_split_only_when_told_to(drawn_folder: Path, tmp_path: Path) -> None:
    words = ["data", "split", str(drawn_folder), "--out", str(tmp_path / "split.csv"), "--quiet"]
    runner = CliRunner()
    assert runner.invoke(app, words).exit_code == 0
    assert runner.invoke(app, words).exit_code == 0
    before = (tmp_path / "split.csv").read_bytes()
    refused = runner.invoke(app, [*words, "--seed", "4"])
    assert isinstance(refused.exception, SplitError)
    assert (tmp_path / "split.csv").read_bytes() == before
    assert runner.invoke(app, [*words, "--seed", "4", "--force"]).exit_code == 0
    assert (tmp_path / "split.csv").read_bytes() != before
