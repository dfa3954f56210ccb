"""Results that can be worked out again from the kept runs say the same again."""

import importlib.util

import numpy as np
import pytest

from conftest import ROOT
from lesionwise.evaluation.predictions import read_predictions
from lesionwise.evaluation.scores.evaluate import evaluate

ACCURACY = ROOT / "benchmarks" / "accuracy"
RUNS = ROOT / "benchmarks" / "runs"


def _table(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("|")]


@pytest.mark.slow
def test_the_table_of_recipes_is_what_its_script_prints(capsys: pytest.CaptureFixture[str]) -> None:
    specification = importlib.util.spec_from_file_location("recipes", ACCURACY / "recipes.py")
    assert specification
    assert specification.loader
    script = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(script)
    script.main(RUNS)
    (page,) = ACCURACY.glob("recipes_*.md")
    assert _table(capsys.readouterr().out) == _table(page.read_text(encoding="utf-8"))


@pytest.mark.slow
def test_larger_out_of_fold_is_the_mean_of_its_two_networks() -> None:
    members = [
        read_predictions(RUNS / name / "predictions-out-of-fold.csv")
        for name in ("best-blur-0-480-folds", "large-folds")
    ]
    first, second = (member.y_prob[np.argsort(member.image_id)] for member in members)
    order = np.argsort(members[0].image_id)
    y_true, groups = members[0].y_true, members[0].group
    assert y_true is not None
    assert groups is not None
    scores = evaluate(y_true[order], (first + second) / 2, groups=groups[order])
    (page,) = ACCURACY.glob("larger_*.md")
    rows = page.read_text(encoding="utf-8").split("## Out of fold")[1].splitlines()
    found = {cells[1].strip(): cells[-2].strip() for row in rows if len(cells := row.split("|")) == 7}
    for name, key in {
        "balanced accuracy": "balanced_accuracy",
        "accuracy": "accuracy",
        "macro F1": "macro_f1",
        "macro AUC": "macro_auc",
        "log loss": "log_loss",
        "ECE": "ece",
    }.items():
        assert found[name] == str(scores.overall[key])
    assert found["AUC of melanoma"] == str(scores.per_class["mel"]["auc"])
