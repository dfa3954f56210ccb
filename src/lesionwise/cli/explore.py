"""`lesionwise data explore`."""

from pathlib import Path
from typing import Annotated

import typer

from lesionwise.cli.console import Display, print_result
from lesionwise.cli.extras import require
from lesionwise.cli.options import DataFolder, Json, Quiet, Set, Workers
from lesionwise.errors import RecipeError


def explore(
    folder: DataFolder,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", help="Folder for explore.html and figures/; by default explore/.", metavar="DIR"
        ),
    ] = None,
    recipe: Annotated[
        str | None,
        typer.Option(
            "--recipe", help="Place images on the map by a recipe's network and weights.", metavar="RECIPE"
        ),
    ] = None,
    set_: Set = None,
    force: Annotated[bool, typer.Option("--force", help="Write over an exploration of other data.")] = False,
    workers: Workers = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Show what a data folder holds: its table, its pixels, its masks, and what stands out."""
    from lesionwise.recipe import load_recipe

    if set_ and not recipe:
        raise RecipeError("Expected --recipe where a key of it is set.")
    loaded = load_recipe(recipe, set_ or []) if recipe else None
    if loaded:
        require("torch")
    from lesionwise.execution import Execution
    from lesionwise.explore.explore import explore_folder
    from lesionwise.explore.page import write_exploration

    with Display(quiet=quiet) as display:
        execution = Execution(workers=workers, progress=display)
        found = explore_folder(folder, recipe=loaded, execution=execution)
    page = write_exploration(found, out or Path("explore"), force=force)
    value = {
        "page": str(page),
        "images": len(found.dataset.table),
        "masks": found.masked,
        "remarks": found.remarks,
    }
    text = "\n".join(["What stands out:", *(f"  {remark}" for remark in found.remarks), "", f"Page: {page}"])
    print_result(text, value, as_json=json)
