from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lesionwise.data.dataset import Dataset
from lesionwise.errors import LeakError, SplitError
from lesionwise.split.assign import make_split
from lesionwise.split.split_file import Split
from lesionwise.split.verify import verify_split


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
