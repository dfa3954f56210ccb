"""A column that gives the diagnosis away is named; one that does not is not."""

import numpy as np
import pandas as pd
import pytest

from lesionwise.data.audit.shortcuts import (
    COLUMNS,
    find_shortcuts,
    imbalance_findings,
    shortcut_findings,
)
from lesionwise.labels import CODES


def table(rows: int = 420, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "lesion_id": [f"L{row // 2}" for row in range(rows)],
            "dx": [CODES[row // 2 % 7] for row in range(rows)],
            "sex": rng.choice(["female", "male"], rows),
            "age": rng.choice([30.0, 50.0, np.nan], rows),
        }
    )


def test_noise_is_no_shortcut() -> None:
    shortcuts = find_shortcuts(table(), {"hair": np.random.default_rng(1).random(420)})
    assert [cut.name for cut in shortcuts] == ["age", "sex", "the table altogether", "how it was taken"]
    assert shortcut_findings(shortcuts) == []


def test_a_column_that_tells_how_the_label_was_made_is_named_with_its_score() -> None:
    rows = table()
    rows["dx_type"] = np.where(rows["dx"] == "nv", "follow_up", "histo")
    cuts = {cut.name: cut for cut in find_shortcuts(rows)}
    assert cuts["dx_type"].balanced_accuracy == pytest.approx(2 / 7, abs=0.08)
    rows["dataset"] = rows["dx"]
    (finding,) = shortcut_findings(find_shortcuts(rows))
    assert finding.code == "D020"
    assert "chance 0.14: dataset 1.00" in finding.message
    assert "Never give it to a model" in finding.remedy


def test_photographs_of_one_lesion_do_not_stand_in_for_the_diagnosis() -> None:
    """Each lesion has a place of its own, from which an image split would guess the diagnosis."""
    rows = table()
    rows["localization"] = rows["lesion_id"]
    cuts = {cut.name: cut for cut in find_shortcuts(rows)}
    assert cuts["localization"].balanced_accuracy < 0.2


def test_nothing_is_said_where_a_diagnosis_has_one_lesion_or_there_is_one_diagnosis() -> None:
    rows = table(28)
    assert find_shortcuts(rows[rows["lesion_id"] != "L0"]) == []
    assert find_shortcuts(rows[rows["dx"] == "mel"]) == []


def test_columns_without_a_difference_are_passed_over() -> None:
    assert find_shortcuts(table().assign(sex="male", age=np.nan)) == []
    assert "dx_type" in COLUMNS


def test_imbalance_is_reported_from_ten_to_one() -> None:
    (finding,) = imbalance_findings(pd.Series(["nv"] * 50 + ["df"] * 5))
    assert finding.code == "D019"
    assert "nv has 10 times as many images as df" in finding.message
    assert "accuracy of 0.909" in finding.message
    assert imbalance_findings(pd.Series(["nv"] * 9 + ["df"])) == []
    assert imbalance_findings(pd.Series([], dtype=str)) == []
