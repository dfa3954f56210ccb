"""Confirmed pairs are joined in a split; too long a chain of them is refused."""

from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from lesionwise.cli.app import app
from lesionwise.errors import SplitError
from lesionwise.split.groups import read_pairs, verify_merge
from lesionwise.split.split_file import read_split

TABLE = pd.DataFrame(
    {"image_id": [f"i{n}" for n in range(9)], "lesion_id": ["A", "A", "A", "B", "B", "C", "C", "D", "E"]}
)


def test_pairs_up_to_six_images_are_joined_and_more_need_a_word() -> None:
    verify_merge(TABLE, [("i0", "i3")])
    verify_merge(TABLE, [("i3", "i5"), ("i7", "i8")])
    with pytest.raises(SplitError, match=r"joins 7 images to one lesion \(i0, i1, .*--force"):
        verify_merge(TABLE, [("i0", "i3"), ("i4", "i5")])
    verify_merge(TABLE, [("i0", "i3"), ("i4", "i5")], force=True)


def test_a_large_lesion_that_no_pair_touches_is_not_refused() -> None:
    table = TABLE.assign(lesion_id=["A"] * 7 + ["D", "E"])
    verify_merge(table, [("i7", "i8")])


def test_images_that_are_not_in_the_data_are_named() -> None:
    with pytest.raises(SplitError, match="zz is not in the data"):
        verify_merge(TABLE, [("i0", "zz")])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a,b\n1,2\n", "expected the columns image_id and other_image_id"),
        ("image_id,other_image_id\n1,2\n3,\n", "row 3 does not name two images"),
        ("image_id,other_image_id\n1,1\n", "row 2 does not name two images"),
    ],
)
def test_pairs_that_cannot_be_used_are_refused(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "pairs.csv").write_text(content)
    with pytest.raises(SplitError, match=message):
        read_pairs(tmp_path / "pairs.csv")


def test_merged_images_share_a_part_in_the_split(tmp_path: Path, drawn_folder: Path) -> None:
    table = pd.read_csv(drawn_folder / "HAM10000_metadata.csv").drop_duplicates("lesion_id")
    same = table[table["dx"] == "nv"]["image_id"].tolist()
    pairs = list(zip(same[::2], same[1::2], strict=False))[:4]
    pd.DataFrame(pairs, columns=["image_id", "other_image_id"]).to_csv("pairs.csv", index=False)
    # five folds need twelve groups of each diagnosis; one pair leaves enough
    pd.DataFrame(pairs[:1], columns=["image_id", "other_image_id"]).to_csv("pair.csv", index=False)
    arguments = ["data", "split", str(drawn_folder), "--out", str(tmp_path / "split.csv"), "--quiet"]
    result = CliRunner().invoke(app, [*arguments, "--merge", "pair.csv"])
    assert result.exit_code == 0, result.exception
    frame = read_split(tmp_path / "split.csv").frame.set_index("image_id")
    first, second = pairs[0]
    assert frame.loc[first, "group"] == frame.loc[second, "group"]
    assert frame.loc[first, "part"] == frame.loc[second, "part"]
    with pytest.raises(SplitError, match="at least 12 lesions"):
        raise CliRunner().invoke(app, [*arguments, "--merge", "pairs.csv"]).exception or AssertionError
