import numpy as np
import pandas as pd
import pytest

from lesionwise.explore import tables
from lesionwise.labels import CODES


@pytest.fixture
def table() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "image_id": list("abcdef"),
            "lesion_id": ["1", "1", "2", "3", "4", "4"],
            "dx": ["mel", "mel", "mel", "nv", "nv", "nv"],
            "dx_type": ["histo", "histo", "histo", "follow_up", "histo", "unknown"],
            "age": [40.0, 41.0, np.nan, 44.0, 45.0, 45.0],
            "sex": ["male", "male", "female", "unknown", "female", "female"],
            "localization": ["back", "back", "face", "back", "back", "back"],
        }
    )


def test_images_lesions_and_siblings_are_counted(table: pd.DataFrame) -> None:
    rows = tables.diagnosis_table(table).set_index("diagnosis")
    assert list(rows.index) == list(CODES)
    assert rows.loc["mel"][["images", "lesions", "sharing_their_lesion"]].to_numpy().tolist() == [3, 2, 2]
    assert rows.loc["df"][["images", "lesions", "share_sharing"]].to_numpy().tolist() == [0, 0, 0]
    assert rows["share_of_images"].sum() == pytest.approx(1)


def test_counts_sum_to_the_images_and_the_commonest_comes_first(table: pd.DataFrame) -> None:
    counts = tables.count_table(table, "localization")
    assert counts["localization"].tolist() == ["back", "face"]
    assert counts["images"].tolist() == [5, 1]
    assert (counts[list(CODES)].sum(axis=1) == counts["images"]).all()


def test_lesions_are_counted_by_their_photographs(table: pd.DataFrame) -> None:
    counts = tables.photographs_table(table).set_index("photographs")
    assert counts["lesions"].to_dict() == {1: 2, 2: 2}
    assert counts.loc[2, "nv"] == 1


def test_ages_fall_into_steps_of_five_years_and_missing_ones_are_left_out(table: pd.DataFrame) -> None:
    counts = tables.age_table(table).set_index("age_from")
    assert counts["images"].sum() == 5
    assert counts.loc[40][["mel", "nv"]].to_numpy().tolist() == [2, 1]
    assert counts.loc[45, "nv"] == 2
    assert counts.loc[0, "images"] == 0  # no step is left out


def test_shares_of_each_diagnosis_sum_to_one(table: pd.DataFrame) -> None:
    shares = tables.share_table(table, "sex")
    assert shares.loc["mel", "male"] == pytest.approx(2 / 3)
    assert shares.sum(axis=1).round(9).isin([0, 1]).all()


def test_nan_and_unknown_count_as_missing(table: pd.DataFrame) -> None:
    missing = tables.missing_table(table)
    assert missing.loc["mel", "age"] == pytest.approx(1 / 3)
    assert missing.loc["nv", "dx_type"] == pytest.approx(1 / 3)
    assert missing.loc["all", "sex"] == pytest.approx(1 / 6)
    assert missing.loc["df"].sum() == 0


def test_quantiles_are_those_of_the_finite_values() -> None:
    values = pd.DataFrame({"area": [1.0, 2, 3, np.nan, 10]})
    spread = tables.spread_table(values, np.array(["mel"] * 4 + ["nv"])).set_index("diagnosis")
    assert spread.loc["mel"][["images", "p50"]].to_numpy().tolist() == [3, 2]
    assert spread.loc["nv", "p95"] == 10
    assert np.isnan(spread["p50"]["df"])


def test_sizes_are_counted() -> None:
    assert tables.size_table([(600, 450), (600, 450), (20, 30)])["images"].tolist() == [2, 1]
