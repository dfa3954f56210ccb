"""Any form of predictions and truth: an ISIC-format CSV made by hand scores as computed independently."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics

from evaluation.simulation import Simulated
from lesionwise.errors import DataError
from lesionwise.evaluation.predictions import Predictions, read_predictions
from lesionwise.evaluation.runs.scores import evaluate_predictions
from lesionwise.evaluation.tables import join_table, join_truth, read_table, rows_of
from lesionwise.labels import CODES

ISIC = ["MEL", "NV", "BCC", "AKIEC", "BKL", "DF", "VASC"]  # the challenge's order, which is not ours


def _ids(sample: Simulated) -> list[str]:
    return [f"ISIC_{index:07d}" for index in range(len(sample.y_true))]


@pytest.fixture
def challenge(tmp_path: Path, simulated: Simulated) -> tuple[Path, Path, Path]:
    """Predictions, ground truth and lesion groupings as the challenge writes them, rows in another order."""
    index = [CODES.index(code.lower()) for code in ISIC]
    prob = pd.DataFrame(simulated.y_prob[:, index], columns=ISIC)
    prob.insert(0, "image", _ids(simulated))
    hot = pd.DataFrame(np.eye(7)[simulated.y_true][:, index], columns=ISIC)
    hot.insert(0, "image", _ids(simulated))
    groupings = pd.DataFrame({"image": _ids(simulated), "lesion_id": simulated.groups})
    paths = tmp_path / "submission.csv", tmp_path / "truth.csv", tmp_path / "groupings.csv"
    prob.sample(frac=1, random_state=0).to_csv(paths[0], index=False)
    hot.sample(frac=1, random_state=1).to_csv(paths[1], index=False)
    groupings.sample(frac=1, random_state=2).to_csv(paths[2], index=False)
    return paths


def test_a_challenge_submission_scores_as_computed_independently(challenge: tuple[Path, Path, Path]) -> None:
    submission, truth, groupings = challenge
    predictions = join_truth(read_predictions(submission), read_table(truth), "truth.csv")
    evaluation = evaluate_predictions(predictions, "submission.csv", table=read_table(groupings))
    merged = pd.read_csv(submission).merge(pd.read_csv(truth), on="image", suffixes=("", "_true"))
    said, true = merged[ISIC].to_numpy(), merged[[f"{code}_true" for code in ISIC]].to_numpy()
    expected = {
        "balanced_accuracy": metrics.balanced_accuracy_score(true.argmax(1), said.argmax(1)),
        "accuracy": metrics.accuracy_score(true.argmax(1), said.argmax(1)),
        "macro_auc": metrics.roc_auc_score(true, said, average="macro"),
        "log_loss": metrics.log_loss(true.argmax(1), said, labels=range(7)),
        "brier": ((said - true) ** 2).sum(1).mean(),
    }
    assert {name: evaluation.overall[name].value for name in expected} == pytest.approx(expected)
    melanoma = merged["MEL_true"] == 1
    assert evaluation.per_class["mel"]["recall"].value == pytest.approx(
        (said.argmax(1) == 0)[melanoma].mean()
    )
    assert evaluation.lesions == 140


@pytest.fixture
def mine(simulated: Simulated) -> Predictions:
    return Predictions(np.array(_ids(simulated)), simulated.y_prob)


def test_a_table_gives_truth_and_lesions(mine: Predictions, simulated: Simulated) -> None:
    table = pd.DataFrame({"image_id": mine.image_id, "dx": np.array(CODES)[simulated.y_true],
                          "lesion_id": simulated.groups, "sex": "female"})  # fmt: skip
    table = pd.concat(
        [table.iloc[::-1], pd.DataFrame({"image_id": ["OTHER"], "dx": ["nv"], "lesion_id": "x"})]
    )
    joined = join_table(mine, table, "meta.csv")
    assert joined.y_true is not None
    assert joined.group is not None
    assert (joined.y_true == simulated.y_true).all()
    assert (joined.group == simulated.groups).all()
    assert rows_of(mine, table, "meta.csv")["image_id"].tolist() == mine.image_id.tolist()
    table["group"] = "G" + table["lesion_id"]
    regrouped = join_table(mine, table, "meta.csv").group
    assert regrouped is not None
    assert regrouped[0] == "G" + simulated.groups[0]
    kept = join_table(joined, table, "meta.csv").group
    assert kept is not None
    assert kept[0] == simulated.groups[0]


def test_predictions_that_were_left_out_are_missed(mine: Predictions) -> None:
    truth = pd.DataFrame({"image_id": [*mine.image_id, "HARD_1", "HARD_2"], "dx": "nv"})
    with pytest.raises(
        DataError,
        match=r"truth\.csv: no prediction for 2 of 289 images, such as HARD_1; .* such as ISIC_0000000",
    ):
        join_truth(mine, truth, "truth.csv")


def test_a_truth_without_diagnoses_is_refused(mine: Predictions) -> None:
    with pytest.raises(DataError, match="expected a diagnosis"):
        join_truth(mine, pd.DataFrame({"image_id": mine.image_id}), "truth.csv")


def test_images_that_a_table_does_not_know_are_named(mine: Predictions) -> None:
    table = pd.DataFrame({"image_id": mine.image_id[1:]})
    with pytest.raises(
        DataError,
        match=r"meta\.csv: lacks 1 of 287 predicted images, such as ISIC_0000000; .* such as ISIC_0000001",
    ):
        join_table(mine, table, "meta.csv")


def test_two_truths_that_differ_are_refused(mine: Predictions, simulated: Simulated) -> None:
    wrong = simulated.y_true.copy()
    wrong[3] = (wrong[3] + 1) % 7
    joined = Predictions(mine.image_id, mine.y_prob, simulated.y_true)
    table = pd.DataFrame({"image_id": mine.image_id, "dx": np.array(CODES)[wrong]})
    there, here = CODES[wrong[3]], CODES[simulated.y_true[3]]
    with pytest.raises(DataError, match=f"ISIC_0000003 is {there} in it but {here} in the predictions"):
        join_table(joined, table, "meta.csv")


def test_an_image_without_a_lesion_is_named(mine: Predictions) -> None:
    table = pd.DataFrame({"image_id": mine.image_id, "lesion_id": "L"})
    table.loc[2, "lesion_id"] = ""
    with pytest.raises(DataError, match="ISIC_0000002 has no lesion_id"):
        join_table(mine, table, "meta.csv")


def test_columns_of_the_archive_are_known(tmp_path: Path) -> None:
    path = tmp_path / "archive.csv"
    path.write_text(
        "isic_id,age_approx,anatom_site_general,diagnosis_confirm_type,dx\nA,50, back,histo, MEL\n"
    )
    table = read_table(path)
    assert table[["image_id", "age", "localization", "dx_type", "dx"]].iloc[0].tolist() == [
        "A", "50", "back", "histo", "mel",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("dx\nnv\n", "expected a column of image ids .image_id, image, isic_id"),
        ("image_id,dx\nA,nv\nA,nv\n", "A is in more than one row"),
        ("image_id,dx\nA,naevus\n", "but A has 'naevus'"),
        ("image,MEL,NV,BCC,AKIEC,BKL,DF,VASC\nA,1,1,0,0,0,0,0\n", "exactly one .* those of A are"),
        ("image,MEL,NV,BCC,AKIEC,BKL,DF,VASC\nA,0.5,0.5,0,0,0,0,0\n", "exactly one .* those of A are"),
        ("image,MEL,NV,BCC,AKIEC,BKL,DF,VASC\nA,0,0,0,0,0,0,0\n", "exactly one"),
        ("image,MEL,NV,BCC,AKIEC,BKL,DF,VASC\nA,x,0,0,0,0,0,0\n", "those of A are x, 0"),
        ("", "cannot be read as a table"),
    ],
)
def test_tables_that_cannot_be_used_say_why(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "table.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=message):
        read_table(path)
    with pytest.raises(DataError, match=r"nowhere\.csv: cannot be read"):
        read_table(tmp_path / "nowhere.csv")


def test_a_true_name_that_fits_several_predictions_says_which(mine: Predictions) -> None:
    doubled = replace(mine, image_id=np.array(["left/1", "right/1", *mine.image_id[2:]]))
    truth = pd.DataFrame({"image_id": ["1", *mine.image_id[2:]], "dx": "nv"})
    with pytest.raises(DataError, match=r"t\.csv: 1 matches several predictions, left/1 and right/1"):
        join_truth(doubled, truth, "t.csv")
