from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lesionwise.data.dataset import Dataset
from lesionwise.errors import SplitError
from lesionwise.labels import CODES, INDEX
from lesionwise.split.assign import LEAST_LESIONS, LesionKFold, deal_held_out, make_split
from lesionwise.split.groups import lesion_groups
from lesionwise.split.split_file import PARTS
from lesionwise.split.verify import verify_split


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
