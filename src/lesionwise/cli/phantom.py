"""`lesionwise data phantom`."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from lesionwise.cli.console import print_result
from lesionwise.cli.options import Json, Seed, Workers
from lesionwise.wording import counted


def phantom(
    out: Annotated[Path, typer.Argument(help="Folder to make.", metavar="OUT")],
    lesions: Annotated[
        int, typer.Option("--lesions", help="Least number of lesions of each diagnosis.", min=1)
    ] = 12,
    imbalance: Annotated[
        Literal["none", "ham"],
        typer.Option(
            "--imbalance", help="How common each diagnosis is: all alike (none), or as in HAM10000 (ham)."
        ),
    ] = "none",
    seed: Seed = 0,
    workers: Workers = None,
    json: Json = False,
) -> None:
    """Draw a data set in the layout of HAM10000, to try things on."""
    from lesionwise.data.phantom import write_phantom

    folder = write_phantom(out, lesions_per_class=lesions, imbalance=imbalance, seed=seed, workers=workers)
    images = sum(1 for _ in folder.rglob("*.jpg"))
    print_result(
        f"{folder}: {counted(images, 'drawn image')}.",
        {"folder": str(folder), "images": images},
        as_json=json,
    )
