"""`lesionwise train`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lesionwise.cli.console import Display, print_note, print_result
from lesionwise.cli.options import (
    By,
    ByOption,
    Data,
    Device,
    DeviceOption,
    Devices,
    Json,
    Nodes,
    Out,
    Quiet,
    Resume,
    Seed,
    Set,
    SplitFile,
    Workers,
)
from lesionwise.errors import RunError, SplitError

if TYPE_CHECKING:
    from lesionwise.experiments.seeds import TrainSeed
    from lesionwise.run_folder import RunFolder

RecipeArgument = Annotated[
    str, typer.Argument(help="Name of a shipped recipe, or a .toml file.", metavar="RECIPE")
]


def train(
    recipe: RecipeArgument,
    data: Data,
    out: Out = None,
    split: SplitFile = None,
    by: ByOption = "lesion",
    seed: Seed = 0,
    seeds: Annotated[
        int, typer.Option("--seeds", help="Train this many, from --seed on, on one split.", min=1)
    ] = 1,
    device: DeviceOption = "auto",
    devices: Devices = 1,
    nodes: Nodes = 1,
    workers: Workers = None,
    set_: Set = None,
    resume: Resume = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Train a recipe; predict its val and cal parts."""

    def train_one(seed: int, run: Path | None, split: Path | None, by: By) -> "RunFolder":
        return train_run(
            recipe,
            data,
            out=run,
            split=split,
            by=by,
            seed=seed,
            device=device,
            devices=devices,
            nodes=nodes,
            workers=workers,
            overrides=set_,
            resume=resume,
            quiet=quiet,
        )

    if seeds == 1:
        run = train_one(seed, out, split, by)
        print_result(f"Trained: {run.path}", {"run": str(run.path)}, as_json=json)
        return
    if devices * nodes > 1:
        raise RunError("--seeds trains one after another in one process. Train each by itself, with --seed.")
    if resume and not out:
        raise RunError("Expected --out to name the runs that --resume continues.")
    if split and by == "image":
        raise SplitError(f"{split}: --by image makes a split of its own. Leave one of the two out.")

    def train_next(seed: int, run: Path, own: Path | None) -> "RunFolder":
        print_note(f"seed {seed}", quiet=quiet)
        return train_one(seed, run, own, "lesion" if own else by)  # a split says itself what it kept together

    text, value = _train_seeds(recipe, set_, out, train_next, seeds=seeds, first=seed, split=split)
    print_result(text, value, as_json=json)


def _train_seeds(
    name: str,
    overrides: list[str] | None,
    out: Path | None,
    train_one: "TrainSeed",
    *,
    seeds: int,
    first: int,
    split: Path | None,
) -> tuple[str, dict[str, Any]]:
    """Train several seeds, and return the mean of their scores as text and as JSON."""
    from lesionwise.experiments.seeds import RECORD, train_seeds
    from lesionwise.files import read_json
    from lesionwise.recipe import load_recipe
    from lesionwise.run_folder import next_run_path

    recipe = load_recipe(name, overrides or ())
    folder = out or next_run_path(Path("runs"), f"{Path(name).stem}-seeds")
    runs, spreads = train_seeds(recipe, train_one, folder, seeds=seeds, first=first, split=split)
    lines = [f"{folder}: {len(runs)} seeds on val of one split; mean over seeds (95 %)"]
    lines += [f"  {'':19}" + "".join(f"{run.path.name:>9}" for run in runs)]
    for score in ("balanced_accuracy", "accuracy", "macro_f1", "macro_auc"):
        values = "".join(f"{value:9.3f}" for value in spreads[score].each)
        lines.append(f"  {score.replace('_', ' '):19}{values}   {spreads[score]}")
    return "\n".join(lines), {"out": str(folder), **read_json(folder / RECORD)}


def train_run(
    recipe: str,
    data: Path,
    *,
    out: Path | None,
    split: Path | None,
    by: By,
    seed: int,
    device: Device,
    devices: int,
    nodes: int,
    workers: int | None,
    overrides: list[str] | None,
    resume: bool,
    quiet: bool,
) -> "RunFolder":
    """Train with progress on the screen; shared by `train` and `run`.

    Of several processes the first alone shows anything, and goes on when training is over.
    """
    from lesionwise.files import read_json
    from lesionwise.recipe import load_recipe
    from lesionwise.run_folder import next_run_path
    from lesionwise.training.loop.processes import is_first_process
    from lesionwise.training.run import train as train_recipe

    resolved = load_recipe(recipe, overrides or ())
    if out is None and not resume:
        out = next_run_path(Path("runs"), Path(recipe).stem)
    with Display(quiet=quiet or not is_first_process()) as display:
        run = train_recipe(
            resolved,
            data,
            out=out,
            split=split,
            by=by,
            seed=seed,
            device=device,
            workers=workers,
            devices=devices,
            nodes=nodes,
            resume=resume,
            on_read=display.on_read,
            on_epoch=display.on_epoch,
            on_step=display.on_step,
        )
    if not is_first_process():
        raise typer.Exit
    for remark in read_json(run.data)["remarks"]:
        print_note(remark, quiet=quiet)
    parts = read_json(run.timing)["train"]["parts"]
    total = sum(parts.values())
    if total:
        shares = ", ".join(f"{part} {seconds / total:.0%}" for part, seconds in parts.items())
        print_note(f"Where the time of training went: {shares}.", quiet=quiet)
    return run
