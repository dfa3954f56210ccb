"""Training: `lesionwise train`, `run` (the whole job) and `ensemble`."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lesionwise.cli import options
from lesionwise.cli.console import (
    Display,
    describe_check,
    describe_evaluation,
    print_note,
    print_result,
    remember_folder,
)
from lesionwise.cli.evaluate import print_made, score_part
from lesionwise.cli.options import Out, argument, option
from lesionwise.errors import RunError, require
from lesionwise.wording import counted

if TYPE_CHECKING:
    from collections.abc import Callable

    from lesionwise.execution import Execution
    from lesionwise.experiments.seeds import TrainSeed
    from lesionwise.recipe import Recipe
    from lesionwise.run_folder import RunFolder

_PHANTOM_ROOT = Path(".lesionwise")
_PHANTOM_LESIONS = 60  # of each diagnosis: enough that a small network learns all seven


def train(
    recipe: options.RecipeArgument,
    data: options.Data,
    out: options.Out = None,
    split: options.SplitFile = None,
    by: options.ByOption = "lesion",
    seed: options.Seed = 0,
    seeds: Annotated[
        int, option("--seeds", "Number of seeds to train, from --seed on, on one split.", min=1)
    ] = 1,
    device: options.DeviceOption = "auto",
    devices: options.Devices = 1,
    nodes: options.Nodes = 1,
    workers: options.Workers = None,
    set_: options.Set = None,
    resume: options.Resume = False,
) -> None:
    """Train a recipe, calibrate the model, and predict val and cal."""
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
        print_result(f"Trained: {run.path}", {"run": str(run.path)})
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
    print_result(text, value)


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


def run(
    recipe: Annotated[
        str | None,
        argument(
            "RECIPE",
            "An included recipe, or a .toml file; by default `small` with --data, else `phantom`.",
            autocompletion=options.complete_recipe,
        ),
    ] = None,
    data: options.OptionalData = None,
    out: options.Out = None,
    split: options.SplitFile = None,
    by: options.ByOption = "lesion",
    seed: options.Seed = 0,
    device: options.DeviceOption = "auto",
    devices: options.Devices = 1,
    nodes: options.Nodes = 1,
    workers: options.Workers = None,
    set_: options.Set = None,
    resume: options.Resume = False,
) -> None:
    """Do the whole job: read, clean, cache, split, train, evaluate on val, report."""
    if data is None and devices * nodes > 1:
        raise RunError(
            "Expected --data, because several processes draw no phantoms. Run "
            '"lesionwise data phantom" first.'
        )
    from lesionwise.recipe import load_recipe
    from lesionwise.run_folder import next_run_path, run_to_write

    name, unit = recipe or ("small" if data else "phantom"), options.split_or_unit(split, by)
    resolved = load_recipe(name, set_ or ())
    verify_run_out(out, resume=resume, runs=devices * nodes)
    require("torch")
    from lesionwise.evaluation.runs.predictions import describe_unscored
    from lesionwise.evaluation.runs.scores import read_check
    from lesionwise.execution import Execution
    from lesionwise.report.html import write_report
    from lesionwise.run_record import timed_stage
    from lesionwise.training.run import train

    if out is None and not resume:
        out = next_run_path(Path("runs"), Path(name).stem)
    if out:
        remember_folder(out)
    begin = partial(
        train, resolved, data or _phantom(seed, workers), out=out, split=unit, seed=seed, resume=resume
    )
    execution = Execution(device=device, devices=devices, nodes=nodes, workers=workers)
    folder = train_shown(begin, execution)
    if not folder.predictions("val").is_file():
        print_result(describe_unscored(folder), {"run": str(folder.path)})
        return
    with run_to_write(folder.path):
        with timed_stage(folder, "evaluate"):
            evaluation = score_part(folder, "val")
        with Display() as display:
            write_report(folder, progress=display)
    check = read_check(folder, "val")
    calibrated = f"\n{describe_check(check)}" if check else ""
    text = f"{describe_evaluation(evaluation, 'val')}{calibrated}\n\nReport: {folder.report}"
    value = {"run": str(folder.path), "report": str(folder.report), "val": evaluation.to_json()}
    print_result(text, value)


def _phantom(seed: int, workers: int | None) -> Path:
    """Return the folder of the built-in phantom set, drawn once."""
    from lesionwise.data.phantom import write_phantom

    folder = _PHANTOM_ROOT / f"phantom-{seed}"
    print_note(
        "No --data was given: this run is on PHANTOMS, lesions drawn by this program. "
        "It shows that everything works, and says nothing about skin."
    )
    if not folder.exists():
        with Display() as display:
            write_phantom(
                folder, lesions_per_class=_PHANTOM_LESIONS, seed=seed, workers=workers, progress=display
            )
    return folder


def ensemble(
    runs: Annotated[list[Path], argument("RUN RUN…", "Two or more runs on one split.")], out: Out = None
) -> None:
    """Average the calibrated answers of runs on one split; the result can be used like a run."""
    from lesionwise.files import sole_writer
    from lesionwise.run_folder import folders_of, next_run_path, open_run_folder

    members = [open_run_folder(path) for path in runs]
    from lesionwise.evaluation.runs.ensemble import claim_ensemble_folder, is_calibrated, make_ensemble
    from lesionwise.evaluation.runs.scores import evaluate_part, working_part

    path = out or next_run_path(Path("runs"), "ensemble")
    with sole_writer(path, *folders_of(*members)):
        folder = claim_ensemble_folder(path, members)
        parts = make_ensemble(members, folder)
        part = working_part(folder)
        evaluation = evaluate_part(folder, part) if part in parts else None
    raw = [str(run.path) for run in members if not is_calibrated(run)]
    if raw:
        print_note(f"These runs are not calibrated, so raw probabilities were averaged: {', '.join(raw)}.")
    made = f"Ensemble of {len(members)}: {folder.path}"
    value = {"run": str(folder.path), "parts": parts, "not_calibrated": raw}
    print_made(folder, part, evaluation, made, value)
