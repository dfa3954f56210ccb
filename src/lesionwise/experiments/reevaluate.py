"""Evaluating trained weights again at another size, zoom or number of views.

Not here: predicting (`lesionwise.training.fit`) and calibrating, which is done again because the answers
change.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from lesionwise.errors import RecipeError, RunError
from lesionwise.evaluation.runs.scores import evaluate_part, working_part
from lesionwise.execution import Execution
from lesionwise.experiments.crossval import collect
from lesionwise.files import atomic_folder, copy_file, read_json, write_json, write_text
from lesionwise.recipe import Recipe, load_recipe
from lesionwise.run_folder import RunFolder, open_run_folder
from lesionwise.run_record import describe_environment
from lesionwise.training.fit import read_network, write_part_predictions
from lesionwise.training.ledger import predict_held_out
from lesionwise.training.loop.hardware import choose_device
from lesionwise.training.run import learn_from_cal, prepare_again

LOOKING: Final = ("image_size", "eval_size", "eval_zoom", "tta", "second_look", "calibration")
"""Recipe keys that can be changed after training: they decide how images are read and answered."""

_KEPT: Final = ("split.csv", "split.json", "start.json", "originals.csv", "history.csv")


def reevaluate(
    path: Path, changes: Sequence[str], out: Path, execution: Execution = Execution()
) -> RunFolder:
    """Evaluate a trained run, or all finished folds of a cross-validation, with some recipe keys changed.

    The weights are copied. val, cal and held-out folds are predicted again, and calibrated by the defaults
    of `lesionwise calibrate`. `test` is not read. The folder appears when all of it is there.

    Args:
        changes: Texts of the form `key=value`, of keys in `LOOKING`.
        out: The folder to make, of the same kind.

    Raises:
        RecipeError: If a key decides what is trained, or the network cannot read images so.
        RunError: If it is no trained run, or the data is no longer what it was.
    """
    found = open_run_folder(path, "run", "cross-validation")
    recipe = _changed_recipe(found, changes)
    execution = replace(execution, device=choose_device(execution.device))
    with atomic_folder(out) as made:
        _evaluate_again(found, RunFolder(made), recipe, execution)
    return RunFolder(out)


def _evaluate_again(found: RunFolder, own: RunFolder, recipe: Recipe, execution: Execution) -> None:
    record = read_json(found.cross_validation) if found.kind == "cross-validation" else {"done": []}
    folds = record["done"]
    pairs = [(found.fold(number), own.fold(number)) for number in folds] or [(found, own)]
    for run, _ in pairs:
        _verify_trained(run, recipe)
    if folds:
        kept = {key: value for key, value in record.items() if key != "mean_over_folds"}
        write_json(own.cross_validation, {**kept, "done": []})
        _write_start(found, recipe, own)
    for run, new in pairs:
        execution.progress.on_run(f"Predicting again: {run.path}")
        _evaluate_run(run, new, recipe, execution)
    if folds:
        collect(own)
    part = working_part(own)
    if own.predictions(part).is_file():
        evaluate_part(own, part)


def _changed_recipe(run: RunFolder, changes: Sequence[str]) -> Recipe:
    if run.reread.is_file():
        raise RunError(
            f'{run.path}: was made by "evaluate --set" itself. '
            f"Evaluate {read_json(run.reread)['of']} again instead."
        )
    recipe, before = load_recipe(run.config, changes), load_recipe(run.config)
    if recipe == before:
        raise RecipeError(f"Expected --set to change one or more of {', '.join(LOOKING)}.")
    others = [
        key
        for key in Recipe.model_fields
        if key not in LOOKING and getattr(recipe, key) != getattr(before, key)
    ]
    if others:
        raise RecipeError(
            f"{run.path}: {', '.join(others)} decides what is trained. Only {', '.join(LOOKING)} can be "
            "changed afterwards; for the rest, train the recipe again."
        )
    return recipe


def _verify_trained(run: RunFolder, recipe: Recipe) -> None:
    """Make sure that there are weights, and that they fit what the network would look at."""
    if not run.predictions("cal").is_file() or not run.best.is_file():
        raise RunError(
            f"{run.path}: has not finished training, or its weights are missing. Train it with --resume."
        )
    read_network(run.best, load_recipe(run.config))
    try:
        read_network(run.best, recipe)
    except RuntimeError as error:
        raise RecipeError(
            f"{run.path}: {recipe.model} needs other weights for images of {recipe.image_size}. Train it "
            "again."
        ) from error


def _write_start(run: RunFolder, recipe: Recipe, own: RunFolder) -> None:
    before = load_recipe(run.config)
    keys = [key for key in LOOKING if getattr(before, key) != getattr(recipe, key)]
    trained = {key: before.model_dump(mode="json")[key] for key in keys}
    write_json(own.reread, {"of": str(run.path.resolve()), "trained_with": trained})
    write_text(own.config, recipe.to_toml())
    trained_in = read_json(run.environment)  # versions are those that trained it
    write_json(own.environment, {**trained_in, "command": describe_environment()["command"]})
    for name in _KEPT:
        if (run.path / name).is_file():
            copy_file(run.path / name, own.path / name)
    if run.data.is_file():  # looks at test are counted where those of the first run are
        facts = read_json(run.data)
        origin = facts["split_origin"] or str(run.split.resolve())
        write_json(own.data, {**facts, "split_origin": origin})


def _evaluate_run(run: RunFolder, own: RunFolder, recipe: Recipe, execution: Execution) -> None:
    """Evaluate the weights of one run as another."""
    _write_start(run, recipe, own)
    copy_file(run.best, own.best)
    _, data, _ = prepare_again(own, execution)
    parts = tuple(part for part in ("val", "cal") if run.predictions(part).is_file())
    write_part_predictions(own, recipe, data, parts, device=execution.device, progress=execution.progress)
    learn_from_cal(own, recipe, data, device=execution.device)
    if "held_out" in data.split.meta:
        predict_held_out(own, execution)
        evaluate_part(own, "test")
