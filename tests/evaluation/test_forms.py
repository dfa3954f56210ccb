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
    with pytest.raises(DataError, match="Name their diagnoses with --classes"):
        read_predictions(tmp_path / "p.csv")


def lists(values: np.ndarray) -> list[str]:
    """Cells as pandas writes the arrays of NumPy."""
    return [str(row) for row in values]


@pytest.mark.parametrize("beside", ["index", "label"])
def test_what_timm_writes_in_one_column_of_lists_is_put_in_order(tmp_path: Path, beside: str) -> None:
    place = np.argsort(-PROB, axis=1)
    said = place if beside == "index" else np.array(CODES)[place]
    sorted_ = np.take_along_axis(PROB, place, axis=1)
    table = pd.DataFrame({"filename": IDS, beside: lists(said), "prob": lists(sorted_.astype(np.float32))})
    table.to_csv(tmp_path / "p.csv", index=False)
    classes = CODES if beside == "index" else None  # names need no order
    np.testing.assert_allclose(read_predictions(tmp_path / "p.csv", classes=classes).y_prob, PROB, atol=1e-6)


@pytest.mark.parametrize("classes", [None, CODES])
def test_what_timm_writes_with_names_beside_the_probabilities_needs_no_classes(
    tmp_path: Path, classes: tuple[str, ...] | None
) -> None:
    place = np.argsort(-PROB, axis=1)
    columns: dict[str, object] = {"filename": IDS}
    columns |= {
        f"index_{number}": (place[:, number] + 3) % 7 for number in range(7)
    }  # in the model's own order
    columns |= {f"label_{number}": np.array(CODES)[place[:, number]] for number in range(7)}
    columns |= {f"prob_{number}": np.take_along_axis(PROB, place, axis=1)[:, number] for number in range(7)}
    pd.DataFrame(columns).to_csv(tmp_path / "p.csv", index=False)
    np.testing.assert_allclose(read_predictions(tmp_path / "p.csv", classes=classes).y_prob, PROB)


@pytest.mark.parametrize("name", ["logit_{}", "logits_{}", "logit_class_{}"])
def test_numbered_logits_become_probabilities(tmp_path: Path, name: str) -> None:
    table = pd.DataFrame(np.log(PROB) + 3, columns=[name.format(number) for number in range(7)])
    table.assign(filename=IDS).to_csv(tmp_path / "p.csv", index=False)
    np.testing.assert_allclose(read_predictions(tmp_path / "p.csv", classes=CODES).y_prob, PROB)


def test_what_fiftyone_exports_as_csv(tmp_path: Path) -> None:
    logits = [",".join(map(str, row)) for row in np.log(PROB).tolist()]  # as it joins lists
    paths = [f"{image}.jpg" for image in IDS]
    table = pd.DataFrame({"filepath": paths, "predictions.label": "mel", "predictions.logits": logits})
    table.to_csv(tmp_path / "p.csv", index=False)
    read = read_predictions(tmp_path / "p.csv", classes=CODES)
    np.testing.assert_allclose(read.y_prob, PROB)
    assert read.image_id.tolist() == paths


def test_what_linear_probes_of_foundation_models_write(tmp_path: Path) -> None:
    columns: dict[str, object] = {"image_path": [f"/data/{image}.jpg" for image in IDS]}
    columns |= {"true_label": [4, 5, 2], "predicted_label": PROB.argmax(axis=1)}
    columns |= {f"probability_class_{number}": PROB[:, number] for number in range(7)}
    pd.DataFrame(columns).to_csv(tmp_path / "p.csv", index=False)
    np.testing.assert_allclose(read_predictions(tmp_path / "p.csv", classes=CODES).y_prob, PROB)


def test_the_words_of_notebooks_name_a_diagnosis(tmp_path: Path) -> None:
    words = ["Actinic keratoses", "Basal cell carcinoma", "Benign keratosis-like lesions ", "dermatofibroma"]
    words += ["melanoma", "melanocytic_Nevi", "Vascular lesions"]
    pd.DataFrame(PROB, columns=words).assign(image_id=IDS).to_csv(tmp_path / "p.csv", index=False)
    np.testing.assert_allclose(read_predictions(tmp_path / "p.csv").y_prob, PROB)


def numbered(values: np.ndarray, names: list[str]) -> pd.DataFrame:
    ids = [f"I{row}" for row in range(len(values))]
    return pd.DataFrame(values, columns=names).assign(filename=ids)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (numbered(-np.sort(-PROB[[0, 1, 2, 0, 1]]), [f"prob_{i}" for i in range(7)]), "in falling order"),
        (numbered(PROB[:, :3], ["prob_0", "prob_1", "prob_2"]), "but found 3 in each row"),
        (numbered(PROB, [*(f"prob_{i}" for i in range(6)), "prob_7"]), "numbered from 0 without a gap"),
        (numbered(PROB, [*(f"prob_{i}" for i in range(6)), "logit_6"]), "of one kind"),
        (pd.DataFrame({"file": IDS, "prob": ["[1 0]", "[0 1]", "[1]"]}), "as many numbers in each row"),
    ],
)
def test_numbers_that_do_not_say_which_class_is_meant_are_refused(
    tmp_path: Path, table: pd.DataFrame, message: str
) -> None:
    table.to_csv(tmp_path / "p.csv", index=False)
    with pytest.raises(DataError, match=message):
        read_predictions(tmp_path / "p.csv", classes=CODES)


@pytest.mark.parametrize(
    ("second", "message"),
    [("MEL", "each column once but mel is twice"), ("prob_mel", r"found mel \(2 columns\)")],
)
def test_two_columns_of_one_diagnosis_are_refused(tmp_path: Path, second: str, message: str) -> None:
    table = pd.DataFrame(PROB, columns=CODES).assign(image=IDS, **{second: 0.0})
    table.to_csv(tmp_path / "p.csv", index=False)
    with pytest.raises(DataError, match=message):
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
