"""`lesionwise train`."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lesionwise.cli import options
from lesionwise.cli.console import Display, print_note, print_result, remember_folder
from lesionwise.errors import RunError, require
from lesionwise.wording import counted

if TYPE_CHECKING:
    from collections.abc import Callable

    from lesionwise.execution import Execution
    from lesionwise.experiments.seeds import TrainSeed
    from lesionwise.recipe import Recipe
    from lesionwise.run_folder import RunFolder


def train(
    recipe: options.RecipeArgument,
    data: options.Data,
    out: options.Out = None,
    split: options.SplitFile = None,
    by: options.ByOption = "lesion",
    seed: options.Seed = 0,
    seeds: Annotated[
        int, typer.Option("--seeds", help="Number of seeds to train, from --seed on, on one split.", min=1)
    ] = 1,
    device: options.DeviceOption = "auto",
    devices: options.Devices = 1,
    nodes: options.Nodes = 1,
    workers: options.Workers = None,
    set_: options.Set = None,
    resume: options.Resume = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Train a recipe, calibrate it, and predict its val and cal parts."""
    from lesionwise.execution import Execution
    from lesionwise.recipe import load_recipe
    from lesionwise.run_folder import next_run_path

    resolved = load_recipe(recipe, set_ or ())
    if resume and out and not set_:
        named, resolved = resolved, _own_recipe(out, resolved)
        others = [key for key in type(named).model_fields if getattr(named, key) != getattr(resolved, key)]
        if others:
            print_note(
                f"{out}: continues with its own recipe, which differs from {recipe} in {', '.join(others)}."
            )
    verify_run_out(out, resume=resume, runs=seeds * devices * nodes)
    require("torch")
    unit = options.split_or_unit(split, by)
    execution = Execution(device=device, devices=devices, nodes=nodes, workers=workers)

    def train_one(seed: int, run: Path | None, split: Path | options.By) -> "RunFolder":
        from lesionwise.training.run import train as train_recipe

        begin = partial(train_recipe, resolved, data, out=run, split=split, seed=seed, resume=resume)
        return train_shown(begin, execution)

    if seeds == 1:
        if out is None and not resume:
            out = next_run_path(Path("runs"), Path(recipe).stem)
        if out:
            remember_folder(out)
        run = train_one(seed, out, unit)
        print_result(f"Trained: {run.path}", {"run": str(run.path)}, as_json=json)
        return
    if devices * nodes > 1:
        raise RunError(
            "--seeds trains one seed after another in one process. Train each seed by itself with --seed."
        )
    if resume and not out:
        raise RunError("Expected --out to name the runs that --resume continues.")

    def train_next(seed: int, run: Path, own: Path | None) -> "RunFolder":
        print_note(f"seed {seed}")
        return train_one(seed, run, own or by)

    folder = out or next_run_path(Path("runs"), f"{Path(recipe).stem}-seeds")
    remember_folder(folder)
    text, value = _train_seeds(resolved, folder, train_next, seeds=seeds, first=seed, split=split)
    print_result(text, value, as_json=json)


def verify_run_out(out: Path | None, *, resume: bool, runs: int) -> None:
    """Make sure before the work that one run can start in --out; several are verified one by one."""
    from lesionwise.run_folder import claim_run_folder

    if out and runs == 1:
        claim_run_folder(out, resume=resume)


def _own_recipe(out: Path, named: "Recipe") -> "Recipe":
    """Return the recipe that a stopped run started with, keys that were set included."""
    from lesionwise.recipe import load_recipe
    from lesionwise.run_folder import RunFolder, open_run_folder

    if not RunFolder(out).config.is_file():
        return named
    own = load_recipe(open_run_folder(out, "run").config)
    return own if own.model == named.model else named


def _train_seeds(
    recipe: "Recipe", folder: Path, train_one: "TrainSeed", *, seeds: int, first: int, split: Path | None
) -> tuple[str, dict[str, Any]]:
    """Train several seeds, and return the mean of their scores as text and as JSON."""
    from lesionwise.experiments.seeds import RECORD, train_seeds
    from lesionwise.files import read_json

    runs, spreads = train_seeds(recipe, train_one, folder, seeds=seeds, first=first, split=split)
    lines = [f"{folder}: {counted(len(runs), 'seed')} on val of one split; mean over seeds (95 %)"]
    lines += [f"  {'':19}" + "".join(f"{run.path.name:>9}" for run in runs)]
    for score in ("balanced_accuracy", "accuracy", "macro_f1", "macro_auc"):
        values = "".join(f"{value:9.3f}" for value in spreads[score].each)
        lines.append(f"  {score.replace('_', ' '):19}{values}   {spreads[score]}")
    return "\n".join(lines), {"out": str(folder), **read_json(folder / RECORD)}


def train_shown(train: "Callable[..., RunFolder]", execution: "Execution") -> "RunFolder":
    """Train with progress on the screen; shared by `train` and `run`.

    Of several processes the first alone shows anything, and goes on when training is over.
    """
    from lesionwise.files import read_json
    from lesionwise.training.loop.processes import is_first_process

    with Display(quiet=not is_first_process()) as display:
        run = train(execution=replace(execution, progress=display))
    if not is_first_process():
        raise typer.Exit
    parts = read_json(run.timing)["train"]["parts"]
    total = sum(parts.values())
    if total:
        shares = ", ".join(f"{part} {seconds / total:.0%}" for part, seconds in parts.items())
        print_note(f"Where the time of training went: {shares}.")
    return run
