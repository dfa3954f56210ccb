"""`lesionwise cross-validate`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lesionwise.cli import options
from lesionwise.cli.console import print_result, show_work
from lesionwise.errors import LesionwiseError, require
from lesionwise.wording import counted

if TYPE_CHECKING:
    from lesionwise.experiments.crossval import CrossValidation

_SHOWN = ("balanced_accuracy", "accuracy", "macro_f1", "macro_auc", "log_loss", "ece")


def cross_validate(
    recipe: options.RecipeArgument,
    data: options.Data,
    out: options.Out = None,
    split: options.SplitFile = None,
    folds: Annotated[
        str | None,
        typer.Option(
            "--folds",
            help="Number of folds, or with a comma, the numbers of the folds to train now.",
            metavar="K|1,2,…",
        ),
    ] = None,
    seed: options.Seed = 0,
    device: options.DeviceOption = "auto",
    workers: options.Workers = None,
    engine: options.EngineOption = "local",
    set_: options.Set = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Train once for each fold and predict the fold held out; the same command continues a stopped run."""
    from lesionwise.recipe import load_recipe

    resolved = load_recipe(recipe, set_ or ())
    require("torch")
    from lesionwise.experiments.crossval import cross_validate as run_folds

    chosen = _read_folds(folds)
    with show_work(device, workers=workers, engine=engine) as execution:
        result = run_folds(
            resolved,
            data,
            out=out or Path("runs") / f"{Path(recipe).stem}-folds",
            split=split,
            folds=chosen,
            seed=seed,
            execution=execution,
        )
    print_result(describe_folds(result), result.to_json(), as_json=json)


def describe_folds(result: "CrossValidation") -> str:
    """Return the scores of each fold, their mean and the pooled score as lines of text."""
    pending = [fold for fold in result.folds if fold not in result.done]
    waiting = f"; {_list(pending)} still to do" if pending else ""
    lines = [f"{result.run.path}: folds {_list(result.done)} of {_list(result.folds)} done{waiting}"]
    if result.pooled:
        names = "".join(f"{f'fold {fold}':>9}" for fold in result.done)
        lines.append(f"  {'':19}{names}   {'mean over folds':25}   pooled, out of fold")
        for name in _SHOWN:
            spread = result.by_fold[name]
            values = "".join(f"{value:9.3f}" for value in spread.each)
            lines.append(
                f"  {name.replace('_', ' '):19}{values}   {spread!s:25}   {result.pooled.overall[name]}"
            )
        lines.append(
            "Mean over folds: the score of a run of this recipe on new lesions; the interval shows how well "
            "runs agree (Nadeau and Bengio)."
        )
        lines.append(
            f"Pooled: all {counted(result.pooled.images, 'held-out prediction')} as one set; the interval "
            f"shows how certain the score of {counted(result.pooled.lesions, 'lesion')} is."
        )
    return "\n".join(lines)


def _read_folds(text: str | None) -> int | list[int] | None:
    if text is None:
        return None
    try:
        numbers = [int(number) for number in text.split(",") if number.strip()]
    except ValueError as error:
        raise LesionwiseError(
            f'Expected --folds to be a number of folds, or fold numbers such as 1,2, but got "{text}".'
        ) from error
    if not numbers:
        raise LesionwiseError(f'Expected --folds to name folds but got "{text}".')
    return numbers if "," in text else numbers[0]


def _list(numbers: list[int]) -> str:
    return ", ".join(map(str, numbers))
