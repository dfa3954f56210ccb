"""What the finished folds of a cross-validation came to, gathered into its own files.

Here: the held-out predictions of all folds as one set, the scores of each fold and their mean. Not here:
running the folds (`crossval`).
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from lesionwise.evaluation.runs.predictions import refresh_predictions
from lesionwise.evaluation.runs.scores import OUT_OF_FOLD, evaluate_part
from lesionwise.evaluation.scores.evaluate import LOSSES, Evaluation
from lesionwise.evaluation.scores.fold_mean import Spread, mean_over_folds
from lesionwise.files import read_json, write_json, write_text
from lesionwise.recipe import load_recipe
from lesionwise.run_folder import RunFolder
from lesionwise.split.split_file import read_split


@dataclass(frozen=True)
class CrossValidation:
    """What came out so far.

    Attributes:
        run: The folder.
        folds: All folds.
        done: Those that are finished.
        by_fold: Score of each finished fold, by score; and the mean over folds.
        pooled: All held-out predictions scored as one set; None before the first fold is finished.
    """

    run: RunFolder
    folds: list[int]
    done: list[int]
    by_fold: dict[str, Spread]
    pooled: Evaluation | None

    def to_json(self) -> dict[str, Any]:
        """Return plain dictionaries and lists."""
        return {
            "run": str(self.run.path),
            "folds": self.folds,
            "done": self.done,
            "mean_over_folds": {name: asdict(spread) for name, spread in self.by_fold.items()},
            "pooled": self.pooled.to_json() if self.pooled else None,
        }


def collect(run: RunFolder) -> CrossValidation:
    """Gather what the finished folds left into the files of the cross-validation.

    Args:
        run: Its folder.

    Raises:
        RunError: If it is no folder of a cross-validation.
    """
    record = read_json(run.cross_validation)
    runs = {fold: run.fold(fold) for fold in record["folds"]}
    done = {fold: own for fold, own in runs.items() if is_finished(own)}
    if not done:
        return CrossValidation(run, record["folds"], [], {}, None)
    _write_out_of_fold(run, done)
    pooled = evaluate_part(run, OUT_OF_FOLD)
    found = {fold: Evaluation.from_json(read_json(own.scores)["parts"]["test"]) for fold, own in done.items()}
    ratio = float(np.mean([_test_to_train(own) for own in done.values()]))
    spreads = {
        name: mean_over_folds(
            [evaluation.overall[name].value for evaluation in found.values()],
            ratio=ratio,
            most=float("inf") if name in LOSSES else 1.0,
        )
        for name in pooled.overall
    }
    result = CrossValidation(run, record["folds"], list(done), spreads, pooled)
    _write_folds(run, found)
    means = {name: asdict(spread) for name, spread in spreads.items()}
    write_json(run.cross_validation, {**record, "done": list(done), "mean_over_folds": means})
    return result


def is_finished(own: RunFolder) -> bool:
    """Return whether a fold is predicted and scored."""
    scored = own.scores.exists() and "test" in read_json(own.scores)["parts"]
    return scored and own.predictions("test").exists()


def _test_to_train(own: RunFolder) -> float:
    """Return how many images a fold holds out for each one that its weights were made with."""
    split, on_val = read_split(own.split), load_recipe(own.config).train_on_val
    trained_on = split.image_ids("train", "val") if on_val else split.image_ids("train")
    return len(split.image_ids("test")) / len(trained_on)


def _write_out_of_fold(run: RunFolder, done: dict[int, RunFolder]) -> None:
    """Write the held-out predictions of all finished folds, each as its run is calibrated now."""
    tables = []
    for fold, own in done.items():
        refresh_predictions(own, "test")
        table = pd.read_csv(own.predictions("test"), dtype=str)
        table.insert(3, "fold", fold)  # behind image_id, group and y_true
        tables.append(table)
    rows = pd.concat(tables).sort_values("image_id")
    write_text(run.predictions(OUT_OF_FOLD), rows.to_csv(index=False, lineterminator="\n"))


def _write_folds(run: RunFolder, found: dict[int, Evaluation]) -> None:
    rows = [
        {"fold": fold, "score": name, **vars(estimate)}
        for fold, evaluation in found.items()
        for name, estimate in evaluation.overall.items()
    ]
    table = pd.DataFrame(rows).to_csv(index=False, float_format="%.6g", lineterminator="\n")
    write_text(run.path / "folds.csv", table)
