from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from evaluation.simulation import Simulated
from lesionwise.errors import DataError
from lesionwise.evaluation.predictions import PROB_COLUMNS, Predictions, read_predictions, write_predictions
from lesionwise.evaluation.runs.scores import evaluate_predictions, verify_not_test
from lesionwise.labels import CODES


def _record(sample: Simulated) -> Predictions:
    ids = np.array([f"I{index}" for index in range(len(sample.y_true))])
    return Predictions(ids, sample.y_prob, sample.y_true, sample.groups, np.log(sample.y_prob))


def test_what_is_written_is_read_back(tmp_path: Path, simulated: Simulated) -> None:
    written = _record(simulated)
    write_predictions(written, tmp_path / "p.csv")
    read = read_predictions(tmp_path / "p.csv")
    assert read.image_id.tolist() == written.image_id.tolist()
    assert np.abs(read.y_prob - written.y_prob).max() < 1e-6
    assert read.y_true is not None
    assert read.group is not None
    assert read.logits is not None
    assert (read.y_true == simulated.y_true).all()
    assert (read.group == simulated.groups).all()
    assert np.abs(read.logits - np.log(simulated.y_prob)).max() < 1e-5
    header = (tmp_path / "p.csv").read_text().splitlines()[0].split(",")
    assert header[:4] == ["image_id", "group", "y_true", "prob_akiec"]


def test_probabilities_alone_are_enough_to_be_read(tmp_path: Path, simulated: Simulated) -> None:
    full = _record(simulated)
    write_predictions(Predictions(full.image_id, full.y_prob), tmp_path / "p.csv")
    read = read_predictions(tmp_path / "p.csv")
    assert (read.y_true, read.group, read.logits) == (None, None, None)


def _write(path: Path, rows: dict[str, object]) -> Path:
    plain: dict[str, object] = {"image_id": ["A", "B"], **dict.fromkeys(PROB_COLUMNS, 1 / 7)}
    pd.DataFrame({**plain, **rows}).to_csv(path, index=False)
    return path


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ({"image_id": ["A", "A"]}, "A is in more than one row"),
        ({"prob_mel": [1 / 7, 0.5]}, r"those of B sum to 1\.357 .*Pass --normalise"),
        ({"prob_mel": [1 / 7, -0.1], "prob_nv": [1 / 7, 2 / 7 + 0.1]}, r"least value of -0\.1"),
        ({"prob_mel": [1 / 7, np.nan]}, "those of B sum to nan"),
        ({"prob_mel": ["a", "b"]}, "expected numbers as probabilities"),
        ({"y_true": ["nv", "naevus"]}, r"p\.csv: expected y_true to be one of .* but found 'naevus'"),
    ],
)
def test_predictions_that_cannot_be_used_say_why(
    tmp_path: Path, rows: dict[str, object], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        read_predictions(_write(tmp_path / "p.csv", rows))


def test_missing_columns_are_named(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("image_id,prob_mel\nA,1\n")
    with pytest.raises(DataError, match=r"found akiec \(0 columns\), bcc"):
        read_predictions(tmp_path / "p.csv")
    (tmp_path / "p.csv").write_text("who,prob_mel\nA,1\n")
    with pytest.raises(DataError, match="expected a column of image ids"):
        read_predictions(tmp_path / "p.csv")
    with pytest.raises(DataError, match="cannot be read: No such file"):
        read_predictions(tmp_path / "nowhere.csv")


def test_confidences_are_divided_by_their_sum_on_request(tmp_path: Path) -> None:
    path = _write(tmp_path / "p.csv", {"prob_mel": [1 / 7, 1.0]})
    read = read_predictions(path, normalise=True)
    assert read.y_prob.sum(axis=1) == pytest.approx([1, 1])
    assert read.y_prob[1, CODES.index("mel")] == pytest.approx(1 / (1 + 6 / 7))
    nought = _write(tmp_path / "q.csv", {column: [1 / 7, 0.0] for column in PROB_COLUMNS})
    with pytest.raises(DataError, match="those of B sum to 0"):
        read_predictions(nought, normalise=True)


def test_what_is_missing_for_scores_is_named(simulated: Simulated) -> None:
    full = _record(simulated)
    with pytest.raises(DataError, match=r"the true diagnoses are missing\. Pass --truth"):
        evaluate_predictions(Predictions(full.image_id, full.y_prob, group=full.group), "p.csv")
    without_lesions = Predictions(full.image_id, full.y_prob, full.y_true)
    with pytest.raises(DataError, match=r"the lesion of each image is missing\. Pass --table"):
        evaluate_predictions(without_lesions, "p.csv")
    by_image = evaluate_predictions(without_lesions, "p.csv", by="image")
    assert by_image.resampled_by == "image"
    assert by_image.lesions == by_image.images
    uneven = Predictions(full.image_id, full.y_prob * 2, full.y_true, full.group)
    with pytest.raises(DataError, match=r"p\.csv: Expected probabilities that sum to 1"):
        evaluate_predictions(uneven, "p.csv")


def test_the_test_part_of_a_run_is_no_ordinary_file(tmp_path: Path) -> None:
    path = tmp_path / "predictions-test.csv"
    verify_not_test(path)  # of nobody's run
    (tmp_path / "config.toml").touch()
    verify_not_test(tmp_path / "predictions-val.csv")
    with pytest.raises(DataError, match="--final"):
        verify_not_test(path)


@pytest.mark.parametrize("column", ["group", "image_id"])
@pytest.mark.parametrize("blank", ["", "  "])
def test_an_empty_cell_is_refused_with_its_row_and_never_becomes_a_lesion(
    column: str, blank: str, tmp_path: Path
) -> None:
    rows = pd.DataFrame({"image_id": list("abc"), "group": list("xyz"), **dict.fromkeys(PROB_COLUMNS, 1 / 7)})
    rows.loc[1, column] = blank
    rows.to_csv(tmp_path / "p.csv", index=False)
    with pytest.raises(DataError, match=f"expected {column} in every row but row 3 has none"):
        read_predictions(tmp_path / "p.csv")
