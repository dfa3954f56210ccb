"""`lesionwise train`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lesionwise.cli.console import Display, print_note, print_result
from lesionwise.cli.options import (
    By,
    ByOption,
    Data,
    Device,
    DeviceOption,
    Json,
    Out,
    Quiet,
    Resume,
    Seed,
    Set,
    SplitFile,
    Workers,
)

if TYPE_CHECKING:
    from lesionwise.run_folder import RunFolder

RecipeArgument = Annotated[
    str, typer.Argument(help="Name of a shipped recipe, or a .toml file.", metavar="RECIPE")
]


def train(
    recipe: RecipeArgument,
    data: Data,
    out: Out = None,
    split: SplitFile = None,
    by: ByOption = By.lesion,
    seed: Seed = 0,
    device: DeviceOption = Device.auto,
    workers: Workers = None,
    set_: Set = None,
    resume: Resume = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Train a recipe; predict its val and cal parts."""
    run = train_run(recipe, data, out, split, by, seed, device, workers, set_, resume=resume, quiet=quiet)
    print_result(f"Trained: {run.path}", {"run": str(run.path)}, as_json=json)


def train_run(
    recipe: str,
    data: Path,
    out: Path | None,
    split: Path | None,
    by: By,
    seed: int,
    device: Device,
    workers: int | None,
    overrides: list[str] | None,
    *,
    resume: bool,
    quiet: bool,
) -> "RunFolder":
    """Train with progress on the screen; shared by `train` and `run`."""
    from lesionwise.recipe import load_recipe
    from lesionwise.run_folder import next_run_path, read_json
    from lesionwise.training.run import train as train_recipe

    resolved = load_recipe(recipe, overrides or ())
    if out is None and not resume:
        out = next_run_path(Path("runs"), Path(recipe).stem)
    with Display(quiet=quiet) as display:
        run = train_recipe(
            resolved,
            data,
            out=out,
            split=split,
            by=by.value,
            seed=seed,
            device=device.value,
            workers=workers,
            resume=resume,
            on_read=display.on_read,
            on_epoch=display.on_epoch,
            on_step=display.on_step,
        )
    for remark in read_json(run.data)["remarks"]:
        print_note(remark, quiet=quiet)
    parts = read_json(run.timing)["train"]["parts"]
    total = sum(parts.values())
    if total:
        shares = ", ".join(f"{part} {seconds / total:.0%}" for part, seconds in parts.items())
        print_note(f"Where the time of training went: {shares}.", quiet=quiet)
    return run
