"""`evaluate` takes what people have, by its names, and refuses what could mean two things."""

import numpy as np
import pandas as pd
import pytest

from evaluation.simulation import Simulated
from lesionwise import evaluate
from lesionwise.evaluation.scores.arguments import scoring_arrays
from lesionwise.labels import CODES, NAMES

ISIC = ["MEL", "NV", "BCC", "AKIEC", "BKL", "DF", "VASC"]
IN_ISICS_ORDER = [CODES.index(code.lower()) for code in ISIC]


def test_the_columns_of_a_table_count_by_their_names() -> None:
    y_true = np.arange(70) % 7
    table = pd.DataFrame(np.eye(7)[y_true][:, IN_ISICS_ORDER], columns=ISIC)
    assert evaluate(y_true, table, np.arange(70), resamples=20).overall["accuracy"].value == 1
    assert evaluate(y_true, table[ISIC[::-1]], np.arange(70), resamples=20).overall["accuracy"].value == 1


@pytest.mark.parametrize("form", ["{}", "prob_{}", "p_{}"])
def test_codes_and_columns_are_known_in_every_usual_spelling(form: str, simulated: Simulated) -> None:
    table = pd.DataFrame(simulated.y_prob, columns=[form.format(code) for code in CODES])
    table["image_id"] = "x"  # other columns do not disturb
    words = [NAMES[CODES[index]] for index in simulated.y_true]
    truth, prob, _ = scoring_arrays(words, table[table.columns[::-1]], simulated.groups)
    np.testing.assert_array_equal(truth, simulated.y_true)
    np.testing.assert_array_equal(prob, simulated.y_prob)
    codes = pd.Series(np.array(CODES)[simulated.y_true], dtype="category")
    np.testing.assert_array_equal(scoring_arrays(codes, table, simulated.groups)[0], simulated.y_true)


def test_the_order_of_classes_holds_for_columns_and_for_indices(simulated: Simulated) -> None:
    places = np.argsort(IN_ISICS_ORDER)[simulated.y_true]  # indices into ISIC's order
    shuffled = simulated.y_prob[:, IN_ISICS_ORDER]
    truth, prob, _ = scoring_arrays(places, shuffled, simulated.groups, classes=ISIC)
    np.testing.assert_array_equal(truth, simulated.y_true)
    np.testing.assert_array_equal(prob, simulated.y_prob)


def test_a_model_of_some_diagnoses_gives_the_others_no_probability() -> None:
    truth, prob, _ = scoring_arrays(["mel", "nv"], [[0.9, 0.1], [0.2, 0.8]], [1, 2], classes=["mel", "nv"])
    assert truth.tolist() == [4, 5]
    assert prob[:, [4, 5]].tolist() == [[0.9, 0.1], [0.2, 0.8]]
    assert prob.sum() == 2


EVEN = np.full((2, 7), 1 / 7)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"y_prob": pd.DataFrame(EVEN)}, r"akiec.* are missing or too many among 0, 1.*classes="),
        ({"y_prob": pd.DataFrame(EVEN, columns=[*CODES[:6], "prob_nv"])}, "one column of nv .* found nv"),
        ({"y_prob": pd.DataFrame(EVEN, columns=[*CODES[:6], "other"])}, "vasc is missing or too many"),
        ({"y_prob": EVEN[:, :6]}, r"shape \(N, 7\)"),
        ({"y_true": ["mel", "melanocytic"]}, "codes among akiec.*'melanocytic'"),
        ({"y_true": [0.5, 1.0]}, "whole class indices but got float64"),
        ({"y_true": [True, False]}, "whole class indices but got bool"),
        ({"y_true": [0, 7]}, r"in \[0, 7\) but got 0 to 7"),
        ({"classes": ["mel", "mel", "nv"]}, "different codes"),
        ({"classes": ["mel", "naevus"]}, "different codes"),
        (
            {"y_prob": pd.DataFrame(EVEN, [5, 6], CODES), "y_true": pd.Series([0, 1], index=[6, 5])},
            "y_true and y_prob to have the same index",
        ),
        ({"groups": ["a"]}, "a group for each of 2 images"),
        ({"groups": [1.0, np.nan]}, "1 is missing"),
        ({"groups": ["a", None]}, "1 is missing"),
    ],
)  # fmt: skip
def test_what_could_mean_two_things_is_refused(arguments: dict[str, object], message: str) -> None:
    given = {"y_true": [0, 1], "y_prob": EVEN, "groups": [1, 2], **arguments}
    with pytest.raises(ValueError, match=message):
        scoring_arrays(**given)  # type: ignore[arg-type] # wrong on purpose
