"""Every score that the ISIC challenge's own scorer has too is the same here.

Outside CI: the scorer needs pandas 2, so it has an environment of its own. Make one and name its Python:

    python -m venv scorer && scorer/bin/pip install isic-challenge-scoring==5.6.0 "pandas<3"
    LESIONWISE_ISIC_SCORER=scorer/bin/python pytest tests/evaluation/test_challenge_scorer.py
"""

import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from evaluation.simulation import simulate
from lesionwise import evaluate
from lesionwise.evaluation.predictions import read_predictions
from lesionwise.labels import CODES

SCORER = os.environ.get("LESIONWISE_ISIC_SCORER", "")
PROGRAM = """
import json, pathlib, sys
from isic_challenge_scoring.classification import ClassificationMetric, ClassificationScore
truth, said = map(pathlib.Path, sys.argv[1:])
found = ClassificationScore.from_file(truth, said, ClassificationMetric.BALANCED_ACCURACY)
print(json.dumps({"balanced_accuracy": float(found.aggregate["balanced_accuracy"]),
                  "macro": found.macro_average.astype(float).to_dict(),
                  "auc": found.per_category["auc"].astype(float).tolist(),
                  "ap": found.per_category["ap"].astype(float).tolist(),
                  "classes": found.per_category.index.tolist()}))
"""
ISIC = ["MEL", "NV", "BCC", "AKIEC", "BKL", "DF", "VASC"]


@pytest.mark.skipif(not SCORER, reason="LESIONWISE_ISIC_SCORER does not name the Python of the scorer")
def test_scores_are_those_of_the_challenges_scorer(tmp_path: Path) -> None:
    sample = simulate(700, seed=5, digits=6)
    order = [CODES.index(code.lower()) for code in ISIC]
    ids = [f"ISIC_{row:07d}" for row in range(len(sample.y_true))]
    for name, values in (("truth", np.eye(7)[sample.y_true]), ("said", sample.y_prob)):
        table = pd.DataFrame(values[:, order], columns=ISIC)
        table.insert(0, "image", ids)
        table.to_csv(tmp_path / f"{name}.csv", index=False)
    command = [SCORER, "-c", PROGRAM, str(tmp_path / "truth.csv"), str(tmp_path / "said.csv")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    theirs = json.loads(done.stdout)
    said = read_predictions(tmp_path / "said.csv")
    ours = evaluate(sample.y_true, said.y_prob, sample.groups, resamples=20)
    assert ours.overall["balanced_accuracy"].value == pytest.approx(theirs["balanced_accuracy"], abs=1e-9)
    assert ours.overall["macro_auc"].value == pytest.approx(theirs["macro"]["auc"], abs=1e-9)
    assert ours.overall["macro_average_precision"].value == pytest.approx(theirs["macro"]["ap"], abs=1e-9)
    for code, auc, average in zip(theirs["classes"], theirs["auc"], theirs["ap"], strict=True):
        scores = ours.per_class[code.lower()]
        assert scores["auc"].value == pytest.approx(auc, abs=1e-9)
        assert scores["average_precision"].value == pytest.approx(average, abs=1e-9)
    at_a_half = theirs["macro"]["sensitivity"]  # another number, taken at 0.5 of each column
    assert abs(at_a_half - ours.overall["macro_recall"].value) > 0.005
