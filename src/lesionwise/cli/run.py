"""`lesionwise run`: the whole job."""

from functools import partial
from pathlib import Path
from typing import Annotated

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
from lesionwise.cli.train import train_shown, verify_run_out
from lesionwise.errors import RunError, require

_PHANTOM_ROOT = Path(".lesionwise")
_PHANTOM_LESIONS = 60  # of each diagnosis: enough that a small network learns all seven


def run(
    recipe: Annotated[
        str | None,
        typer.Argument(
            help="An included recipe, or a .toml file; by default `small` with --data, else `phantom`.",
            metavar="RECIPE",
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
    json: options.Json = False,
    quiet: options.Quiet = False,
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
    from lesionwise.evaluation.runs.scores import evaluate_part, read_check
    from lesionwise.execution import Execution
    from lesionwise.experiments.image_facts import about_part
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
        print_result(describe_unscored(folder), {"run": str(folder.path)}, as_json=json)
        return
    with run_to_write(folder.path):
        with timed_stage(folder, "evaluate"):
            table, missing = about_part(folder, "val")
            if missing:
                print_note(missing)
            evaluation = evaluate_part(folder, "val", table=table)
        with Display() as display:
            write_report(folder, progress=display)
    check = read_check(folder, "val")
    calibrated = f"\n{describe_check(check)}" if check else ""
    text = f"{describe_evaluation(evaluation, 'val')}{calibrated}\n\nReport: {folder.report}"
    value = {"run": str(folder.path), "report": str(folder.report), "val": evaluation.to_json()}
    print_result(text, value, as_json=json)


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
