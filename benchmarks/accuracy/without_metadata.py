"""What the folds of a recipe answer without age, sex and site, with the calibration that they have.

python benchmarks/accuracy/without_metadata.py FOLDS OUT.csv
lesionwise evaluate OUT.csv
"""

import sys
from pathlib import Path

import numpy as np

from lesionwise.evaluation.predictions import Predictions, write_predictions
from lesionwise.evaluation.runs.predictions import run_probabilities
from lesionwise.files import read_json
from lesionwise.run_folder import RunFolder
from lesionwise.training.fit import load_best_network, predict_logits
from lesionwise.training.run import prepare_again


def answers(run: RunFolder) -> tuple[np.ndarray, ...]:
    """Return ids, probabilities, class indices and lesions of a fold's held-out images."""
    recipe, data, _ = prepare_again(run)
    network, rows = load_best_network(run, recipe), data.rows("test")
    logits = predict_logits(network, recipe, data.pixels, rows, metadata=None, device="cpu")
    return data.image_id[rows], run_probabilities(run, logits), data.y[rows], data.group[rows]


def main(folds: RunFolder, out: Path) -> None:
    each = [answers(folds.fold(number)) for number in read_json(folds.cross_validation)["done"]]
    ids, prob, truth, lesions = (np.concatenate(columns) for columns in zip(*each, strict=True))
    write_predictions(Predictions(ids, prob, truth, lesions, None).sorted(), out)


if __name__ == "__main__":
    main(RunFolder(Path(sys.argv[1])), Path(sys.argv[2]))
