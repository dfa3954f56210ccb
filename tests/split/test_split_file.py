from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from lesionwise.cli.app import app
from lesionwise.data.dataset import Dataset
from lesionwise.errors import LeakError, SplitError
from lesionwise.files import file_sha256, read_json
from lesionwise.labels import LEAKY_STAMP
from lesionwise.split.assign import make_split
from lesionwise.split.split_file import Split, read_split, verify_replaceable, verify_split, write_split


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


def moved(split: Split, image_id: str, **values: str | int) -> Split:
    """Return the split with one image elsewhere."""
    frame = split.frame.copy()
    for column, value in values.items():
        frame.loc[frame["image_id"] == image_id, column] = value
    return replace(split, frame=frame)


def sibling(dataset: Dataset) -> tuple[str, str]:
    """Return an image with a sibling, and its lesion."""
    twice = dataset.table[dataset.table["lesion_id"].duplicated()].iloc[0]
    return str(twice["image_id"]), str(twice["lesion_id"])


def test_a_fresh_split_passes(drawn: Dataset) -> None:
    verify_split(make_split(drawn), drawn)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000), part=st.sampled_from(["train", "val", "cal", "test"]))
def test_one_image_in_another_part_than_its_sibling_is_a_leak(drawn: Dataset, seed: int, part: str) -> None:
    split = make_split(drawn, seed=seed)
    image, lesion = sibling(drawn)
    changed = moved(split, image, part=part)
    if changed.frame.equals(split.frame):
        verify_split(changed, drawn)
    else:
        with pytest.raises(LeakError, match=f"lesion {lesion} is in .* and "):
            verify_split(changed, drawn)


def test_a_lesion_in_two_folds_is_a_leak(drawn: Dataset) -> None:
    image, lesion = sibling(drawn)
    split = make_split(drawn)
    other = (int(split.frame.set_index("image_id")["fold"][image]) + 1) % 5
    with pytest.raises(LeakError, match=f"lesion {lesion} is in folds"):
        verify_split(moved(split, image, fold=other), drawn)


def test_the_group_column_of_the_file_is_not_believed(drawn: Dataset) -> None:
    split = make_split(drawn, by="image")  # its groups say that all images are independent
    with pytest.raises(LeakError, match=r"other lesions? leaks? too"):
        verify_split(Split(split.frame, {"by": "lesion"}), drawn)


def test_a_split_that_says_it_leaks_is_let_through_to_be_stamped(drawn: Dataset) -> None:
    verify_split(make_split(drawn, by="image"), drawn)


def test_identical_images_count_as_one_lesion(drawn: Dataset) -> None:
    split = make_split(drawn)
    parts = split.frame.set_index("image_id")["part"]
    pair = (parts[parts == "train"].index[0], parts[parts == "val"].index[0])
    with pytest.raises(LeakError, match="is in train and val"):
        verify_split(split, drawn, pairs=[pair])


def test_an_image_that_the_split_lacks_is_named(drawn: Dataset) -> None:
    split = make_split(drawn)
    with pytest.raises(SplitError, match=r"the split lacks 1 image, such as DRAWN_0000000"):
        verify_split(replace(split, frame=split.frame.iloc[1:]), drawn)


def test_an_image_that_the_data_lacks_is_named(drawn: Dataset) -> None:
    split = make_split(drawn)
    with pytest.raises(SplitError, match=r"the data lacks 1 image, such as DRAWN_0000000"):
        verify_split(split, replace(drawn, table=drawn.table.iloc[1:]))


def test_a_split_may_leave_out_as_many_images_as_it_says(drawn: Dataset) -> None:
    split = make_split(drawn)
    rest = split.frame[split.frame["part"] != "test"]
    left_out = len(split.frame) - len(rest)
    verify_split(Split(rest, {"left_out": left_out}), drawn)
    for wrong in ({}, {"left_out": left_out - 1}):
        with pytest.raises(SplitError, match="the split lacks"):
            verify_split(Split(rest, wrong), drawn)
