"""The mean of two trainings' weights, fold by fold: out of fold, with shifted logits, and out of focus.

    python benchmarks/search/average_folds.py FOLDS FOLDS OUT.csv
    lesionwise evaluate OUT.csv

Both are cross-validations of one network and one split, trained otherwise; the second says how to look.
Every answer is calibrated by a temperature fitted on the fold's `cal`.
"""

import sys
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from average_weights import average

from lesionwise.data.perturbations import perturb
from lesionwise.evaluation.calibration.scaling import fit_temperature
from lesionwise.evaluation.predictions import Predictions, write_predictions
from lesionwise.evaluation.runs.predictions import read_run_predictions
from lesionwise.evaluation.scores.decision import balanced_accuracy_score
from lesionwise.evaluation.scores.evaluate import evaluate
from lesionwise.files import read_json
from lesionwise.labels import CODES
from lesionwise.run_folder import RunFolder
from lesionwise.training.fit import load_best_network, predict_logits
from lesionwise.training.run import prepare_again

SHIFTS: Final = (0.0, 0.1, 0.2, 0.3)  # parts of the log frequency in train that are taken off
Logits = dict[str, np.ndarray]


class Fold(NamedTuple):
    """What is known of a fold, and the raw answers of the mean on cal and on the held-out images."""

    averaged: Logits
    second: Logits
    truth: dict[str, np.ndarray]
    groups: dict[str, np.ndarray]
    ids: np.ndarray
    log_frequency: np.ndarray


def answer(first: RunFolder, second: RunFolder) -> Fold:
    if first.split.read_bytes() != second.split.read_bytes():
        sys.exit("Expected folds of one split but they differ.")
    recipe, data, _ = prepare_again(second)
    one, both = (load_best_network(run, recipe) for run in (first, second))
    average(one, both)
    known, ids = data.metadata(recipe.metadata), data.image_id
    rows = {part: np.array(sorted(data.rows(part), key=ids.__getitem__)) for part in ("cal", "test")}
    cal = rows["cal"]
    blurred = np.stack([perturb(data.pixels[row], "blur", 1, image_id=str(ids[row])) for row in cal])
    every, told = np.arange(len(cal)), None if known is None else known[cal]
    averaged = {
        part: predict_logits(both, recipe, data.pixels, which, metadata=known, device="cpu")
        for part, which in rows.items()
    }
    averaged["blurred"] = predict_logits(both, recipe, blurred, every, metadata=told, device="cpu")
    for name, logits in averaged.items():
        score = balanced_accuracy_score(data.y[rows.get(name, cal)], np.exp(logits))
        print(second.path.name, name, f"balanced accuracy {score:.3f}", flush=True)
    alone = {part: read_run_predictions(second, part).sorted().logits for part in rows}
    return Fold(
        averaged,
        {part: logits for part, logits in alone.items() if logits is not None},
        {part: data.y[which] for part, which in rows.items()},
        {part: data.group[which] for part, which in rows.items()},
        ids[rows["test"]],
        np.log(np.bincount(data.y[data.rows("train")], minlength=len(CODES)) / len(data.rows("train"))),
    )


def calibrated(fold: Fold, logits: Logits, shift: float) -> np.ndarray:
    """Return probabilities of the held-out images, shifted on the scale of calibrated logits."""
    fit = fit_temperature(fold.truth["cal"], logits["cal"], fold.groups["cal"])
    moved = {part: fit.factor * logits[part] - shift * fold.log_frequency for part in ("cal", "test")}
    again = fit_temperature(fold.truth["cal"], moved["cal"], fold.groups["cal"])
    return np.asarray(again.probabilities(moved["test"]))


def main(first: RunFolder, second: RunFolder, out: Path) -> None:
    numbers = read_json(second.cross_validation)["done"]
    folds = [answer(first.fold(number), second.fold(number)) for number in numbers]
    truth, groups = (
        np.concatenate([getattr(fold, name)["test"] for fold in folds]) for name in ("truth", "groups")
    )
    for name in ("averaged", "second"):
        for shift in SHIFTS:
            prob = np.concatenate([calibrated(fold, getattr(fold, name), shift) for fold in folds])
            found = evaluate(truth, prob, groups)
            shown = [
                f"{score} {found.overall[score]}" for score in ("balanced_accuracy", "accuracy", "macro_auc")
            ]
            print(name, f"less {shift}", *shown, f"log loss {found.overall['log_loss']}", sep="; ", end="; ")
            print(f"mel auc {found.per_class['mel']['auc']}", flush=True)
            if (name, shift) == ("averaged", 0):
                ids = np.concatenate([fold.ids for fold in folds])
                write_predictions(Predictions(ids, prob, truth, groups, None).sorted(), out)


if __name__ == "__main__":
    main(RunFolder(Path(sys.argv[1])), RunFolder(Path(sys.argv[2])), Path(sys.argv[3]))
