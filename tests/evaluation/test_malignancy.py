"""Malignant against benign: tables that say no more are a truth for that alone."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics

from conftest import Lesionwise
from evaluation.simulation import Simulated
from lesionwise.errors import DataError
from lesionwise.evaluation.malignancy import evaluate_malignancy, read_malignancy
from lesionwise.evaluation.predictions import Predictions, write_predictions
from lesionwise.labels import CODES, INDEX, MALIGNANT

FORMS = {
    "ISIC 2020": ("image_name", "benign_malignant", {True: "malignant", False: "benign"}),
    "ISIC 2024": ("isic_id", "target", {True: "1", False: "0"}),
    "ISIC archive": ("isic_id", "diagnosis_1", {True: "Malignant", False: "Benign"}),
}


@pytest.mark.parametrize("name", FORMS)
def test_scores_are_those_of_an_independent_computation(
    tmp_path: Path, simulated: Simulated, name: str
) -> None:
    key, column, words = FORMS[name]
    places = [INDEX[code] for code in MALIGNANT]
    malignant = np.isin(simulated.y_true, places)
    ids = [f"I{row}" for row in range(len(malignant))]
    table = pd.DataFrame(
        {key: ids, "lesion_id": simulated.groups, column: [words[bool(m)] for m in malignant]}
    )
    pd.concat([table, pd.DataFrame({key: ["odd"], "lesion_id": ["L"], column: ["Indeterminate"]})]).to_csv(
        tmp_path / "t.csv", index=False
    )
    predictions = Predictions(np.array([*ids]), simulated.y_prob)
    found = evaluate_malignancy(predictions, read_malignancy(tmp_path / "t.csv"), "t.csv")
    called = np.isin(simulated.y_prob.argmax(1), places)
    score = simulated.y_prob[:, places].sum(1)
    assert found.scores["malignant_auc"].value == pytest.approx(metrics.roc_auc_score(malignant, score))
    assert found.scores["sensitivity"].value == pytest.approx(called[malignant].mean())
    assert found.scores["specificity"].value == pytest.approx((~called)[~malignant].mean())
    assert (found.images, found.unknown) == (len(ids), 1)
    assert found.scores["malignant_auc"].low < found.scores["malignant_auc"].value


def test_without_lesions_every_image_must_be_declared_one(
    tmp_path: Path, simulated: Simulated, lesionwise: Lesionwise
) -> None:
    ids = [f"I{row}" for row in range(len(simulated.y_true))]
    write_predictions(Predictions(np.array(ids), simulated.y_prob), tmp_path / "p.csv")
    dx = np.array(CODES)[simulated.y_true]
    pd.DataFrame({"image_name": ids, "target": np.isin(dx, MALIGNANT).astype(int)}).to_csv(
        "t.csv", index=False
    )
    arguments = ["evaluate", tmp_path / "p.csv", "--truth", "t.csv", "--malignant", "--json"]
    assert "pass --by image" in lesionwise(*arguments).err
    ended = lesionwise(*arguments, "--by", "image")
    assert set(json.loads(ended.out)["scores"]) == {"malignant_auc", "sensitivity", "specificity"}
    assert "too narrow" in ended.err


def test_a_table_that_says_nothing_of_malignancy_is_refused(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("image_id,age\nA,3\n")
    with pytest.raises(DataError, match="benign_malignant, target, diagnosis_1 or a diagnosis"):
        read_malignancy(tmp_path / "t.csv")


def test_a_folder_as_truth_of_malignancy_is_refused_as_such(tmp_path: Path, lesionwise: Lesionwise) -> None:
    (tmp_path / "p.csv").write_text("image_id\nA\n")
    (tmp_path / "data").mkdir()
    ended = lesionwise("evaluate", tmp_path / "p.csv", "--truth", tmp_path / "data", "--malignant")
    assert f"{tmp_path / 'data'}: --malignant needs a table but this is a folder" in ended.err
