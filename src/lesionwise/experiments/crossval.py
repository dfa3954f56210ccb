"""Cross-validation by lesion: a run for each fold, and the predictions of every held-out image in one file.

Not here: what a fold's run sees (`lesionwise.split.assign`) and training it (`training.run`).

The folder is a run folder whose part is `out-of-fold`, with a run folder for each fold inside:

    config.toml  split.csv  cross-validation.json  predictions-out-of-fold.csv  folds.csv  scores.json
    splits/fold-<k>.csv     what the run of a fold sees; its test part is the held-out fold
    fold-<k>/               its run folder; with predictions-test.csv it is finished, and never repeated
"""

from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lesionwise.errors import SplitError
from lesionwise.evaluation.runs.predictions import refresh_predictions
from lesionwise.evaluation.runs.scores import OUT_OF_FOLD, evaluate_part
from lesionwise.evaluation.scores.evaluate import Evaluation
from lesionwise.evaluation.scores.fold_mean import Spread, mean_over_folds, spread_of
from lesionwise.execution import Execution
from lesionwise.experiments.folder import Experiment, HeldOut
from lesionwise.experiments.sharing import finish_all
from lesionwise.files import read_json, sole_writer, write_json, write_text
from lesionwise.recipe import Recipe, load_recipe
from lesionwise.run_folder import RunFolder
from lesionwise.split.assign import FOLDS, fold_everything, fold_numbers, fold_split, verify_whole
from lesionwise.split.split_file import Split, read_split
from lesionwise.training.prepare import TableData, verify_diagnoses
from lesionwise.wording import counted


@dataclass(frozen=True)
class CrossValidation:
    """What came out so far.

    Attributes:
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
    """Gather what the finished folds left into the files of the cross-validation."""
    record = read_json(run.cross_validation)
    runs = {fold: run.fold(fold) for fold in record["folds"]}
    done = {fold: own for fold, own in runs.items() if is_finished(own)}
    if not done:
        return CrossValidation(run, record["folds"], [], {}, None)
    _write_out_of_fold(run, done)
    pooled = evaluate_part(run, OUT_OF_FOLD)
    found = {fold: Evaluation.from_json(read_json(own.scores)["parts"]["test"]) for fold, own in done.items()}
    ratio = float(np.mean([_test_to_train(own) for own in done.values()]))
    spreads = spread_of(found.values(), partial(mean_over_folds, ratio=ratio))
    result = CrossValidation(run, record["folds"], list(done), spreads, pooled)
    _write_folds(run, found)
    written = {name: result.to_json()[name] for name in ("done", "mean_over_folds")}
    write_json(run.cross_validation, {**record, **written})
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


def cross_validate(
    recipe: Recipe | str | Path,
    data: str | Path,
    *,
    out: str | Path,
    split: str | Path | None = None,
    folds: int | list[int] | None = None,
    seed: int = 0,
    execution: Execution = Execution(),
) -> CrossValidation:
    """Train a recipe once for each fold, and predict each fold with the run that did not see it.

    The same call goes on where an earlier one was stopped, inside a fold as well.

    Args:
        split: A split whose folds are used; its test part is neither trained on nor predicted. Left out, all
            images are dealt out by lesion.
        folds: How many folds, or the numbers of those to run now; all if left out.
    """
    recipe = recipe if isinstance(recipe, Recipe) else load_recipe(recipe)
    run = RunFolder(Path(out))
    experiment = Experiment(recipe, Path(data), run, run.cross_validation, seed, execution)
    experiment.verify_recipe()
    with sole_writer(run.path):
        dealt = _start(experiment, Path(split) if split else None, folds)
        listed = ", ".join(map(str, dealt.chosen))
        waiting = [
            experiment.held_out(f"fold-{fold}", f"fold {fold} of {listed}", dealt.fold(fold, seed))
            for fold in dealt.chosen
            if not is_finished(run.fold(fold))
        ]
        for _ in finish_all(finish_fold, waiting):
            collect(run)
        return collect(run)


def finish_fold(fold: HeldOut) -> None:
    """Train a fold's run, predict what it holds out, and score that; what is done is not repeated."""
    with fold.alone() as own:
        if not own.predictions("test").exists():
            fold.finish()
        if not is_finished(own):
            evaluate_part(own, "test")


@dataclass(frozen=True)
class _Dealt:
    """The split that is folded, with the data it was verified against."""

    split: Split
    data: TableData
    chosen: list[int]

    def fold(self, fold: int, seed: int) -> Split:
        """Return what the run of a fold sees.

        Lesions as they follow from the table stay together, or images under a leaky split.
        """
        unit = self.data.image_id if self.split.leaky else self.data.group
        return fold_split(self.split, fold, self.data.dataset, unit, seed=seed)


def _start(experiment: Experiment, split: Path | None, folds: int | list[int] | None) -> _Dealt:
    """Return the folds of a new cross-validation, or of one that is continued."""
    deal = partial(_deal, experiment, split, folds)
    data = experiment.read(split, deal, what="cross-validation")
    dealt = deal(data)
    if not experiment.started:
        experiment.start(data, dealt.split, folds=fold_numbers(dealt.split), done=[])
    return dealt


def _deal(
    experiment: Experiment, split: Path | None, folds: int | list[int] | None, data: TableData
) -> _Dealt:
    """Return the folds, after making sure that each can be trained and scored."""
    own, seed, source = data.split, experiment.seed, split or experiment.folder.split
    if not experiment.started and split is None:
        count = folds if isinstance(folds, int) else FOLDS
        own = fold_everything(data.dataset, data.group, folds=count, seed=seed)
    verify_whole(own, str(source))
    numbers = fold_numbers(own, str(source))
    _verify_folds(data, own, numbers, str(source))
    dealt = _Dealt(own, data, _choose(numbers, folds, source))
    for number in numbers:
        dealt.fold(number, seed)
    return dealt


def _verify_folds(data: TableData, own: Split, numbers: list[int], source: str) -> None:
    """Make sure that each fold can be scored, before the first is trained for an hour."""
    fold = own.frame.set_index("image_id")["fold"].reindex(data.image_id).to_numpy()
    names = [f"fold {number:g}" if number in numbers else "" for number in fold]
    verify_diagnoses(data.y, np.array(names), source=source)


def _choose(numbers: list[int], folds: int | list[int] | None, source: Path) -> list[int]:
    """Return the folds to run now."""
    shown = ", ".join(map(str, numbers))
    if isinstance(folds, int) and folds != len(numbers):
        raise SplitError(
            f"{source}: has {counted(len(numbers), 'fold')} beside test ({shown}), not {folds}. Leave "
            '--folds out to run all of them, or name those to run now, with a comma: "--folds '
            f'{numbers[0]}," or "--folds {numbers[0]},{numbers[1]}".'
        )
    if folds is None or isinstance(folds, int):
        return numbers
    unknown = sorted(set(folds) - set(numbers))
    if unknown or not folds:
        raise SplitError(f"{source}: expected folds among {shown} but got {', '.join(map(str, unknown))}.")
    return sorted(set(folds))
