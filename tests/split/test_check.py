"""The referee: image splits are called tainted with the right images, the reference split is clean."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import train_test_split

from lesionwise.data.known_lesions import known_lesions
from lesionwise.errors import DataError
from lesionwise.evaluation.predictions import Predictions
from lesionwise.labels import CODES
from lesionwise.split.check import SplitCheck, check_split, describe_check
from lesionwise.split.groups import CONFIRMED_PAIRS
from lesionwise.split.id_lists import read_ids, read_lesion_table

TABLE = pd.DataFrame(
    {
        "image_id": ["a1", "a2", "b1", "c1", "d1", "e1"],
        "lesion_id": ["A", "A", "B", "C", "D", "E"],
        "dx": ["mel", "mel", "nv", "bcc", "nv", "df"],
    }
)


def check_image_split(*, test_images: int, seed: int) -> SplitCheck:
    """Judge a split of HAM10000 by image, as notebooks make it."""
    train, test = train_test_split(known_lesions()["image_id"], test_size=test_images, random_state=seed)
    return check_split(list(train), list(test), known_lesions())


def test_the_seeds_split_by_image_is_tainted_in_every_class_and_most_in_melanoma() -> None:
    check = check_image_split(test_images=2003, seed=1234)
    assert not check.clean
    assert 0.33 < check.share < 0.42
    assert 0.6 < check.by_class["mel"].share < 0.75
    assert 0.25 < check.by_class["nv"].share < 0.35
    assert sum(taint.images for taint in check.by_class.values()) == check.test_images == 2003
    assert sum(taint.tainted for taint in check.by_class.values()) == len(check.tainted)


def test_a_split_like_dermamnists_is_tainted_about_as_much_as_that_one() -> None:
    """DermaMNIST, 7:1:2 by image: 886 of its 2,005 test images have their lesion in train."""
    ids = known_lesions()["image_id"]
    rest, test = train_test_split(ids, test_size=2005, random_state=0)
    train, _ = train_test_split(rest, test_size=1003, random_state=0)
    check = check_split(list(train), list(test), known_lesions())
    assert 0.28 < check.share < 0.46
    assert check.count("same lesion") > 0.95 * len(check.tainted)


def test_the_reference_split_is_clean(ham10000: Path) -> None:
    split = pd.read_csv(ham10000 / "reference_split.csv")
    train, test = (split.loc[split["part"].eq("test") == side, "image_id"].tolist() for side in (False, True))
    check = check_split(train, test, known_lesions())
    assert check.clean
    assert describe_check(check).startswith("CLEAN. Among 8,011 training and 2,004 test images")


@given(seed=st.integers(0, 2**31 - 1))
@settings(max_examples=15, deadline=None)
def test_tainted_images_are_those_a_slow_loop_finds(seed: int) -> None:
    rng = np.random.default_rng(seed)
    table = pd.DataFrame(
        {"image_id": [f"i{n}" for n in range(24)], "lesion_id": rng.integers(0, 12, 24).astype(str)}
    )
    ids = rng.permutation(table["image_id"])
    train, test = list(ids[:12]), list(ids[8:20])
    lesion = dict(table.to_numpy())
    slow = {image for image in test if any(lesion[image] == lesion[other] for other in train)}
    check = check_split(train, test, table)
    assert set(check.tainted) == slow
    assert check.by_class == {}
    assert {image for image, reason in check.tainted.items() if reason == "same image"} == set(ids[8:12])


def test_a_hidden_pair_is_found_and_named() -> None:
    first, second = CONFIRMED_PAIRS[0]
    lesion = known_lesions().set_index("image_id")["lesion_id"]
    others = [image for image in lesion.index if lesion[image] not in (lesion[first], lesion[second])]
    check = check_split([first, *others[:50]], [second], known_lesions())
    assert check.tainted == {second: "hidden pair"}
    assert check.pairs == [(min(first, second), max(first, second))]
    assert "Pairs of one lesion under two ids" in describe_check(check)


def test_pairs_of_identical_pixels_taint_too() -> None:
    check = check_split(["a1", "b1"], ["c1", "d1"], TABLE, pairs=[("b1", "c1")])
    assert check.tainted == {"c1": "hidden pair"}


def test_repeats_in_the_training_list_are_fine_and_in_the_test_list_are_told() -> None:
    check = check_split(["a1", "a1", "b1"], ["c1", "c1", "d1"], TABLE)
    assert check.clean
    assert (check.train_images, check.test_images, check.repeated) == (2, 2, 1)
    assert "In the test list, 1 row repeats an image." in describe_check(check)


def test_the_verdict_can_be_quoted() -> None:
    text = describe_check(check_split(["a1", "b1"], ["a2", "b1", "d1"], TABLE))
    assert text.startswith(
        "TAINTED. Of 3 test images, 2 (66.7%) show a lesion that is also among the 2 training images."
    )
    assert "1 also among the training images themselves" in text
    assert "1 another photograph of a lesion of the training set" in text
    assert "A: a2 in test, a1 in training" in text


def predict(ids: list[str], table: pd.DataFrame, *, right: set[str]) -> Predictions:
    """Predictions that are right for some images and one class off for the others."""
    truth = table.set_index("image_id")["dx"].reindex(ids).map(CODES.index).to_numpy()
    answer = [(y + (image not in right)) % 7 for image, y in zip(ids, truth, strict=True)]
    return Predictions(np.array(ids), np.eye(7)[answer] * 0.93 + 0.01, truth)


def big_table() -> pd.DataFrame:
    rows = [(f"{dx}{n}{side}", f"{dx}{n}", dx) for dx in CODES for n in range(6) for side in "xy"]
    return pd.DataFrame(rows, columns=["image_id", "lesion_id", "dx"])


def test_predictions_are_scored_on_the_clean_rest_with_an_interval() -> None:
    table = big_table()
    seen = table[table["lesion_id"].str[-1].isin(list("012"))]
    train = seen["image_id"][seen["image_id"].str.endswith("x")].tolist()
    test = table["image_id"][table["image_id"].str.endswith("y")].tolist()
    check = check_split(train, test, table)
    assert check.share == 0.5
    scored = check_split(
        train, test, table, predictions=predict(test, table, right=set(check.tainted) | {"mel3y", "nv3y"})
    )
    value = {part: scores.overall["accuracy"].value for part, scores in scored.scores.items()}
    assert value == {"all": 23 / 42, "clean": 2 / 21, "tainted": 1.0}
    assert scored.scores["clean"].overall["accuracy"].high > 2 / 21
    assert "The score to quote is that of the clean rest" in describe_check(scored)


def test_a_clean_rest_without_a_class_is_scored_over_the_others_and_called_so() -> None:
    table = big_table()
    train = table["image_id"][table["image_id"].str.startswith("df") & table["image_id"].str.endswith("x")]
    test = table["image_id"][table["image_id"].str.endswith("y")].tolist()
    check = check_split(list(train), test, table, predictions=predict(test, table, right=set(test)))
    assert "recall of df" in check.scores["clean"].undefined
    assert "clean rest: balanced accuracy over 6 of 7 1.000" in describe_check(check)


def test_a_test_set_without_a_clean_image_has_no_clean_score() -> None:
    table = big_table()
    ids = table["image_id"].tolist()
    check = check_split(ids, ids, table, predictions=predict(ids, table, right=set(ids)))
    assert set(check.scores) == {"all", "tainted"}
    assert "no test image is left" in describe_check(check)


def test_predictions_that_contradict_the_table_are_refused() -> None:
    table = big_table()
    ids = table["image_id"].tolist()
    wrong = predict(ids, table, right=set(ids))
    wrong = Predictions(wrong.image_id, wrong.y_prob, np.zeros(len(ids), int))
    with pytest.raises(DataError, match=r"but the table says bcc.*Check the order of the columns"):
        check_split(ids[:1], ids[2:], table, predictions=wrong)


def test_a_test_image_without_a_prediction_is_refused() -> None:
    table = big_table()
    ids = table["image_id"].tolist()
    with pytest.raises(
        DataError, match=r"no prediction for 1 of 84 images, such as vasc5y; .* name images such as akiec0x"
    ):
        check_split(ids[:1], ids, table, predictions=predict(ids[:-1], table, right=set()))


def test_ids_outside_the_table_are_refused_with_the_remedy() -> None:
    with pytest.raises(DataError, match=r"1 of 2 test images, such as zz; .*--table"):
        check_split(["a1"], ["b1", "zz"], TABLE)
    with pytest.raises(DataError, match="the list is empty"):
        check_split([], ["b1"], TABLE)


@pytest.mark.parametrize(
    "content",
    [
        "a1\nimages/b1.JPG\n\nC:\\data\\c1.png\n",
        "image_id,dx\na1,mel\nb1,nv\nc1.jpg,bcc\n",
        "image\na1\nb1\nc1\n",
        "\ufeffa1\nb1\nc1\n",
    ],
)
def test_ids_are_read_from_text_and_csv_and_file_names_are_taken_for_them(
    tmp_path: Path, content: str
) -> None:
    (tmp_path / "ids").write_text(content, encoding="utf-8")
    assert len(read_ids(tmp_path / "ids", "test")) == 3
    table = pd.DataFrame({"image_id": ["a1", "b1", "c1", "d1"], "lesion_id": list("abcd")})
    check = check_split(["d1"], read_ids(tmp_path / "ids", "test"), table)
    assert (check.test_images, check.clean) == (3, True)
    assert sorted(check_split(read_ids(tmp_path / "ids", "test"), ["a1", "d1"], table).tainted) == ["a1"]


@pytest.mark.parametrize("words", [("train", "val", "test"), ("Training", "validation", "TEST")])
def test_one_table_that_names_the_part_of_each_image_stands_for_both_lists(
    tmp_path: Path, words: tuple[str, str, str]
) -> None:
    train, val, test = words
    file = tmp_path / "split.csv"
    file.write_text(f"split,index,image_path\n{train},0,x/a1.jpg\n{val},0,x/b1.jpg\n{test},0,x/c1.jpg\n")
    assert (read_ids(file, "train"), read_ids(file, "test")) == (["x/a1.jpg"], ["x/c1.jpg"])
    file.write_text("split,image_id\nfold 1,a1\n")
    with pytest.raises(DataError, match="expected rows with test in the column split but found fold 1"):
        read_ids(file, "test")


@pytest.mark.parametrize("lines", [["a1", '""', "b1"], ["image_id", '""', "b1"], ["image_id,note", ",x"]])
def test_a_row_without_an_id_is_refused(tmp_path: Path, lines: list[str]) -> None:
    (tmp_path / "ids.csv").write_text("\n".join([*lines, ""]))
    with pytest.raises(DataError, match=r"ids\.csv: row 2 has no image.id\. Fill it in"):
        read_ids(tmp_path / "ids.csv", "test")


def test_lines_without_anything_are_no_rows(tmp_path: Path) -> None:
    (tmp_path / "ids.csv").write_text("a1\n\nb1\n\n")
    assert read_ids(tmp_path / "ids.csv", "test") == ["a1", "b1"]


def test_copies_of_an_image_in_several_folders_are_that_image() -> None:
    table = pd.DataFrame({"image_id": ["a1", "b1"], "lesion_id": ["a", "b"]})
    check = check_split(["original/a1.jpg", "turned/a1.jpg", "a1"], ["test/a1.jpg", "test/b1.jpg"], table)
    assert check.tainted == {"a1": "same image"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "it or its first line is empty"),
        ("x,y\n1,2\n", "expected a column of image ids"),
        ("image_id,x\n", "found none"),
    ],
)
def test_lists_without_ids_are_refused(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "ids").write_text(content)
    with pytest.raises(DataError, match=message):
        read_ids(tmp_path / "ids", "test")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("image_id,dx\na,mel\n", "lesion_id .and dx. but found image_id, dx"),
        ("image_id,lesion_id\na,\n", "row 2 has an empty cell"),
        ("image_id,lesion_id\na,1\na,2\n", "a is in more than one row"),
        ("image_id,lesion_id,dx\na,1,wart\n", "a has 'wart'"),
    ],
)
def test_tables_that_cannot_be_used_are_refused(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "t.csv").write_text(content)
    with pytest.raises(DataError, match=message):
        read_lesion_table(tmp_path / "t.csv")
