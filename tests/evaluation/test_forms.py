"""Predictions in the forms that other tools write are read as they are meant, or refused."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

from evaluation.simulation import Simulated
from lesionwise.errors import DataError
from lesionwise.evaluation.predictions import read_predictions
from lesionwise.labels import CODES

IDS = ["ISIC_1", "ISIC_2", "ISIC_3"]
PROB = np.random.default_rng(0).dirichlet(np.ones(7), size=3)


def test_what_scikit_learn_gives_with_its_classes_as_columns(simulated: Simulated, tmp_path: Path) -> None:
    labels = np.array(CODES)[simulated.y_true]
    model = LogisticRegression().fit(simulated.y_prob, labels)
    said = model.predict_proba(simulated.y_prob)
    ids = [f"I{row}" for row in range(len(said))]
    pd.DataFrame(said, index=ids, columns=model.classes_).to_csv(tmp_path / "p.csv")
    read = read_predictions(tmp_path / "p.csv")
    np.testing.assert_allclose(read.y_prob, said)
    assert read.image_id.tolist() == ids


def test_what_keras_gives_with_class_folders_in_another_order(tmp_path: Path) -> None:
    order = [*CODES[3:], *CODES[:3]]
    names = [f"mel/{image}.jpg" for image in IDS]
    table = pd.DataFrame(PROB, columns=CODES)[order].assign(filename=names)
    table.to_csv(tmp_path / "p.csv", index=False)
    np.testing.assert_allclose(read_predictions(tmp_path / "p.csv").y_prob, PROB)


@pytest.mark.parametrize("ranked", [False, True])
def test_what_timm_writes_in_separate_columns(tmp_path: Path, *, ranked: bool) -> None:
    place = np.argsort(-PROB, axis=1) if ranked else np.tile(np.arange(7), (3, 1))
    columns: dict[str, object] = {"filename": [f"{image}.jpg" for image in IDS]}
    if ranked:
        columns |= {f"index_{number}": place[:, number] for number in range(7)}
    columns |= {f"prob_{number}": np.take_along_axis(PROB, place, axis=1)[:, number] for number in range(7)}
    pd.DataFrame(columns).to_csv(tmp_path / "p.csv", index=False)
    np.testing.assert_allclose(read_predictions(tmp_path / "p.csv", classes=CODES).y_prob, PROB)
    with pytest.raises(DataError, match="Say which diagnosis each is with --classes"):
        read_predictions(tmp_path / "p.csv")


def test_two_columns_of_one_diagnosis_are_refused(tmp_path: Path) -> None:
    table = pd.DataFrame(PROB, columns=CODES).assign(image=IDS, MEL=0.0)
    table.to_csv(tmp_path / "p.csv", index=False)
    with pytest.raises(DataError, match=r"otherwise for mel \(2 columns\)"):
        read_predictions(tmp_path / "p.csv")


def test_a_model_that_knows_some_diagnoses_gives_the_others_nothing_where_it_says_so(tmp_path: Path) -> None:
    known = [code for code in CODES if code != "akiec"]
    prob = PROB[:, 1:] / PROB[:, 1:].sum(axis=1, keepdims=True)
    pd.DataFrame(prob, index=IDS, columns=known).to_csv(tmp_path / "p.csv")
    with pytest.raises(DataError, match=r"akiec \(0 columns\).*name those with --classes"):
        read_predictions(tmp_path / "p.csv")
    read = read_predictions(tmp_path / "p.csv", classes=known).y_prob
    np.testing.assert_allclose(read, np.column_stack([np.zeros(3), prob]))
    with pytest.raises(DataError, match="but got mell"):
        read_predictions(tmp_path / "p.csv", classes=["mell", *known])
