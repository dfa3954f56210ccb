from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import ROOT, WriteKaggle
from lesionwise.data.dataset import Dataset, read_dataset
from lesionwise.errors import SplitError
from lesionwise.split.assign import make_split
from lesionwise.split.folds import fold_everything, fold_numbers, fold_split, in_folds, verify_whole
from lesionwise.split.groups import lesion_groups
from lesionwise.split.split_file import Split, read_split, write_split
from lesionwise.split.verify import verify_split


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory, write_kaggle: WriteKaggle) -> Dataset:
    return read_dataset(write_kaggle(tmp_path_factory.mktemp("many") / "data", lesions=20, size=(16, 16)))


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000), fold=st.sampled_from([1, 2, 3, 4]))
def test_no_lesion_is_in_two_parts_of_a_fold_and_test_is_in_none(many: Dataset, seed: int, fold: int) -> None:
    whole, groups = make_split(many, seed=seed), lesion_groups(many.table)
    own = fold_split(whole, fold, many, groups, seed=seed)
    verify_split(own, many)
    assert own.frame.groupby("group")["part"].nunique().max() == 1
    assert not set(own.frame["image_id"]) & set(whole.image_ids("test"))
    held_out = whole.frame.loc[whole.frame["fold"] == fold, "image_id"]
    assert set(own.image_ids("test")) == set(held_out)
    for part in ("train", "val", "cal"):
        chosen = many.table["image_id"].isin(own.image_ids(part))
        assert set(many.table.loc[chosen, "dx"]) == set(many.table["dx"])


def test_what_was_left_out_survives_the_file(many: Dataset, tmp_path: Path) -> None:
    whole = make_split(many)
    own = fold_split(whole, 2, many, lesion_groups(many.table), seed=0)
    write_split(own, tmp_path / "fold-2.csv")
    again = read_split(tmp_path / "fold-2.csv")
    assert again.meta == own.meta
    assert again.meta["of"] == whole.fingerprint
    assert again.meta["left_out"] == len(whole.image_ids("test"))
    verify_split(again, many)


def test_folds_of_everything_hold_every_image_once(many: Dataset) -> None:
    split = fold_everything(many, lesion_groups(many.table), folds=3, seed=1)
    assert fold_numbers(split) == [1, 2, 3]
    assert sorted(split.frame["image_id"]) == sorted(many.table["image_id"])
    assert split.frame.groupby("group")["fold"].nunique().max() == 1


def test_a_split_without_two_folds_is_refused(many: Dataset) -> None:
    split = make_split(many)
    alone = split.frame.assign(fold=np.where(split.frame["part"] == "test", 0, 1))
    with pytest.raises(SplitError, match="expected two folds or more beside test but found 1"):
        fold_numbers(Split(alone))
    with pytest.raises(SplitError, match="expected whole numbers as folds but found 'first'"):
        fold_numbers(Split(split.frame.assign(fold="first")))


def test_the_reference_split_folds_into_four_and_fold_0_is_never_seen(ham10000: Path) -> None:
    dataset = read_dataset(ham10000)
    whole = read_split(ROOT / "benchmarks" / "reference_split.csv")
    groups = lesion_groups(dataset.table)
    assert fold_numbers(whole) == [1, 2, 3, 4]
    parts = [fold_split(whole, fold, dataset, groups, seed=0) for fold in (1, 2, 3, 4)]
    test = set(whole.frame.loc[whole.frame["fold"] == 0, "image_id"])
    for own in parts:
        verify_split(own, dataset)
        assert not test & set(own.frame["image_id"])
    held_out = pd.concat([own.image_ids("test") for own in parts])
    assert held_out.is_unique
    assert len(held_out) == len(dataset.table) - len(test)


def test_an_image_that_is_not_in_the_split_is_in_no_fold(many: Dataset) -> None:
    whole, groups = make_split(many, seed=1), lesion_groups(many.table)
    fewer = Split(whole.frame.iloc[20:], whole.meta)
    lost = set(whole.frame["image_id"].iloc[:20])
    assert not set(many.table["image_id"][in_folds(fewer, many.table["image_id"].to_numpy(str))]) & lost
    assert not lost & set(fold_split(fewer, 1, many, groups, seed=0).frame["image_id"])


def test_what_one_fold_sees_is_not_folded_again(many: Dataset) -> None:
    whole = make_split(many, seed=1)
    verify_whole(whole)
    own = fold_split(whole, 1, many, lesion_groups(many.table), seed=0)
    with pytest.raises(
        SplitError,
        match=r"f\.csv: is the split of a single fold .* Pass the split that the folds were made from",
    ):
        verify_whole(own, "f.csv")
