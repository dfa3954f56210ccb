from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import ROOT, WriteKaggle
from lesionwise.data.dataset import Dataset, read_dataset
from lesionwise.errors import SplitError
from lesionwise.labels import CODES, INDEX
from lesionwise.split.assign import (
    LEAST_LESIONS,
    LesionKFold,
    deal_held_out,
    fold_everything,
    fold_numbers,
    fold_split,
    in_folds,
    make_split,
    verify_whole,
)
from lesionwise.split.groups import lesion_groups
from lesionwise.split.split_file import PARTS, Split, read_split, verify_split, write_split


def test_the_splitter_refuses_to_guess_groups() -> None:
    with pytest.raises(ValueError, match="Expected `groups` to be given"):
        next(LesionKFold(2).split([0, 1], [0, 1]))


def test_the_splitter_is_scikit_learns_and_can_be_cloned() -> None:
    assert LesionKFold(4, random_state=3).get_n_splits() == 4


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**31 - 1), st.sampled_from(["lesion", "image"]))
def test_parts_partition_the_images_and_by_lesion_none_stands_twice(seed: int, by: str) -> None:
    rng = np.random.default_rng(seed)
    lesions = np.repeat(np.arange(7 * LEAST_LESIONS), rng.integers(1, 4, 7 * LEAST_LESIONS))
    ids = [f"i{n:05d}" for n in range(len(lesions))]
    table = pd.DataFrame(
        {"image_id": ids, "lesion_id": [f"L{n:04d}" for n in lesions], "dx": [CODES[n % 7] for n in lesions]}
    )
    dataset = Dataset(folder=None, layout="drawn", table=table)  # type: ignore[arg-type]
    split = make_split(dataset, by=by, seed=seed)  # type: ignore[arg-type]
    assert split.frame["image_id"].tolist() == ids
    assert set(split.frame["part"]) == set(PARTS)
    assert ((split.frame["part"] == "test") == (split.frame["fold"] == 0)).all()
    verify_split(split, dataset)
    if by == "lesion":
        together = split.frame.groupby(table["lesion_id"])[["part", "fold"]].nunique()
        assert (together == 1).all().all()
        seen = set(zip(split.frame["part"], table["dx"], strict=True))
        assert len(seen) == len(PARTS) * len(CODES)


def _missing_at_first(monkeypatch: pytest.MonkeyPatch, deals: int) -> list[int | None]:
    """Have the first deals move dermatofibroma from the second share to the third; return all seeds."""
    seeds: list[int | None] = []
    whole = LesionKFold.fold_of

    def fold_of(self: LesionKFold, y: np.ndarray, groups: np.ndarray) -> np.ndarray:
        seeds.append(self.random_state)
        found = whole(self, y, groups)
        return np.where((found == 1) & (y == INDEX["df"]), 2, found) if len(seeds) <= deals else found

    monkeypatch.setattr(LesionKFold, "fold_of", fold_of)
    return seeds


def test_it_is_dealt_anew_while_a_part_lacks_a_diagnosis(
    drawn: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    unit = lesion_groups(drawn.table)
    seeds = _missing_at_first(monkeypatch, deals=2)
    part = deal_held_out(drawn.y, unit, seed=5)
    assert len(seeds) == len(set(seeds)) == 3
    assert seeds[0] == 5
    assert len(set(zip(part, drawn.y, strict=True))) == 3 * len(CODES)


def test_a_diagnosis_that_is_missing_however_it_is_dealt_is_named(
    drawn: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    _missing_at_first(monkeypatch, deals=1000)
    with pytest.raises(SplitError, match=r"the last had no df in cal\. Add lesions"):
        deal_held_out(drawn.y, lesion_groups(drawn.table), seed=5)


def test_the_same_seed_gives_the_same_split_and_another_seed_another(drawn: Dataset) -> None:
    assert make_split(drawn, seed=3).fingerprint == make_split(drawn, seed=3).fingerprint
    assert make_split(drawn, seed=3).fingerprint != make_split(drawn, seed=4).fingerprint


def test_shares_of_a_large_table_are_as_documented() -> None:
    lesions = np.repeat(np.arange(3000), 2)
    table = pd.DataFrame(
        {
            "image_id": [f"i{n:05d}" for n in range(6000)],
            "lesion_id": [f"L{n:04d}" for n in lesions],
            "dx": [CODES[n % 7] for n in lesions],
        }
    )
    shares = make_split(Dataset(None, "drawn", table)).frame["part"].value_counts(normalize=True)  # type: ignore[arg-type]
    expected = {"train": 0.62, "val": 0.09, "cal": 0.09, "test": 0.2}
    assert all(abs(shares[part] - share) < 0.01 for part, share in expected.items())


def test_pairs_that_were_found_are_kept_together(drawn: Dataset) -> None:
    ids = drawn.table.groupby("dx")["image_id"].first().tolist()
    pairs = [(ids[0], ids[1])]
    part = make_split(drawn, pairs=pairs).frame.set_index("image_id")["part"]
    assert part[ids[0]] == part[ids[1]]


def test_too_few_lesions_of_a_diagnosis_are_named(drawn: Dataset) -> None:
    rare = drawn.table[drawn.table["dx"] == "df"].index[4:]
    with pytest.raises(SplitError, match=r"at least 12 lesions .* but found \d of df"):
        make_split(replace(drawn, table=drawn.table.drop(rare)))


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
