from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics

from evaluation.simulation import Simulated
from lesionwise.evaluation.scores.subgroups import (
    AGE_BANDS,
    COLUMNS,
    PHOTOGRAPHS,
    UNKNOWN,
    bands_of,
    describe_subgroup,
    evaluate_subgroups,
    malignant_auc_score,
    melanoma_recall_score,
)


def _table(sample: Simulated) -> pd.DataFrame:
    lesion = pd.Series(sample.groups).factorize()[0]
    return pd.DataFrame(
        {
            "sex": np.where(lesion % 3 == 0, "female", np.where(lesion == 1, "", "Male ")),
            "age": np.where(lesion % 10 == 9, "", (lesion % 10 * 10).astype(str)),
            "localization": np.where(lesion < 5, "scalp", "back"),
        }
    )


@pytest.fixture(scope="module")
def rows(simulated: Simulated) -> list[dict[str, Any]]:
    return evaluate_subgroups(
        simulated.y_true, simulated.y_prob, simulated.groups, _table(simulated), resamples=200
    )


def _row(rows: list[dict[str, Any]], column: str, value: str) -> dict[str, Any]:
    return next(row for row in rows if (row["column"], row["value"]) == (column, value))


def test_each_subgroup_is_counted(rows: list[dict[str, Any]], simulated: Simulated) -> None:
    for column in ("sex", "age", "localization"):
        inside = [row for row in rows if row["column"] == column]
        assert sum(row["images"] for row in inside) == len(simulated.y_true)
        assert sum(row["lesions"] for row in inside) == 140
        assert sum(row["melanomas"] for row in inside) == (simulated.y_true == 4).sum()
        assert sum(row["malignant"] for row in inside) == np.isin(simulated.y_true, [0, 1, 4]).sum()


def test_subgroups_stand_in_order(rows: list[dict[str, Any]]) -> None:
    names = {column: [row["value"] for row in rows if row["column"] == column] for column in ("sex", "age")}
    assert names["sex"] == ["male", "female", "unknown"]
    assert names["age"] == [*AGE_BANDS.values(), "unknown"]
    assert list(dict.fromkeys(row["column"] for row in rows)) == [
        "sex",
        "age",
        "localization",
        "photographs",
    ]


def test_scores_are_those_of_the_subgroup(rows: list[dict[str, Any]], simulated: Simulated) -> None:
    female = (_table(simulated)["sex"] == "female").to_numpy()
    truth, prob = simulated.y_true[female], simulated.y_prob[female]
    row = _row(rows, "sex", "female")
    assert row["accuracy"]["value"] == pytest.approx((prob.argmax(1) == truth).mean())
    malignant = np.isin(truth, [0, 1, 4])
    expected = metrics.roc_auc_score(malignant, prob[:, [0, 1, 4]].sum(1))
    assert row["malignant_auc"]["value"] == pytest.approx(expected)
    for score in (row["accuracy"], row["malignant_auc"]):
        assert score["low"] < score["value"] < score["high"]


def test_small_subgroups_have_counts_and_no_score(rows: list[dict[str, Any]]) -> None:
    scalp = _row(rows, "localization", "scalp")
    assert scalp["lesions"] == 5
    assert (scalp["accuracy"], scalp["malignant_auc"], scalp["melanoma_recall"]) == (None, None, None)


def test_ten_lesions_are_enough_and_nine_are_not() -> None:
    y_true, y_prob = np.full(19, 4), np.tile(np.eye(7)[4], (19, 1))
    table = pd.DataFrame({"sex": ["female"] * 10 + ["male"] * 9})
    ten, nine, _ = evaluate_subgroups(y_true, y_prob, np.arange(19), table, resamples=20)
    assert ten["melanoma_recall"] == {"value": 1.0, "low": pytest.approx(0.025**0.1), "high": 1.0}
    assert ten["malignant_auc"] is None  # nothing benign to tell it from
    assert nine["accuracy"] is None


def test_questions_with_one_answer_are_scored_over_all_classes(simulated: Simulated) -> None:
    truth, prob = simulated.y_true, simulated.y_prob
    recall = metrics.recall_score(truth == 4, prob.argmax(1) == 4)
    assert melanoma_recall_score(truth, prob) == pytest.approx(recall)
    weights = np.ones((2, len(truth)), np.float32)
    assert malignant_auc_score(truth, prob, weights) == pytest.approx(
        np.full(2, malignant_auc_score(truth, prob))
    )


def test_ages_fall_into_bands() -> None:
    ages = pd.Series(["0", "29.9", "30", "44", "45", "60", "74", "75", "104", "", "old", "-1"])
    assert bands_of("age", ages).tolist() == [
        "under 30", "under 30", "30 to 44", "30 to 44", "45 to 59", "60 to 74", "60 to 74", "75 and over",
        "75 and over", "unknown", "unknown", "unknown",
    ]  # fmt: skip


def test_the_seed_decides_the_intervals(simulated: Simulated) -> None:
    def scored(seed: int) -> list[dict[str, Any]]:
        table = _table(simulated)[["sex"]]
        return evaluate_subgroups(
            simulated.y_true, simulated.y_prob, simulated.groups, table, resamples=30, seed=seed
        )

    assert scored(1) == scored(1)
    assert scored(1) != scored(2)


@pytest.mark.parametrize(
    ("column", "value", "expected"),
    [
        ("sex", "female", "of female patients"),
        ("age", "75 and over", "of patients aged 75 and over"),
        ("localization", "lower extremity", "on the lower extremity"),
        ("localization", "genital", "on the genital area"),
        ("dx_type", "follow_up", "confirmed by follow-up"),
        ("dx_type", "serial_imaging", "confirmed by serial imaging"),
        ("skin_tone", "very light", "on skin that looks very light"),
        (PHOTOGRAPHS, "1", "with 1 photograph"),
        (PHOTOGRAPHS, "3 or more", "with 3 or more photographs"),
    ],
)
def test_subgroups_are_named_in_words(column: str, value: str, expected: str) -> None:
    assert describe_subgroup(column, value) == expected


@pytest.mark.parametrize("column", COLUMNS)
def test_what_is_not_known_is_said_to_be_so(column: str) -> None:
    assert "unknown" in describe_subgroup(column, UNKNOWN)


def test_merged_collections_are_scored_apart(simulated: Simulated) -> None:
    names = np.where(np.arange(len(simulated.y_true)) % 2, "HAM10000", "mine")
    table = pd.DataFrame({"collection": names})
    rows = evaluate_subgroups(simulated.y_true, simulated.y_prob, simulated.groups, table, resamples=20)
    found = {row["value"]: row["images"] for row in rows if row["column"] == "collection"}
    assert found == {"ham10000": (names == "HAM10000").sum(), "mine": (names == "mine").sum()}
    assert describe_subgroup("collection", "mine") == "of the collection mine"
