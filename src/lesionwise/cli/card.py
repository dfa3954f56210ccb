"""`lesionwise card`."""

from pathlib import Path
from typing import Annotated

import typer

from lesionwise.cli.console import print_result
from lesionwise.cli.evaluate import RunArgument
from lesionwise.cli.options import Json, read_text

Licence = Annotated[str, typer.Option("--licence", help='Of the weights, such as "CC BY-NC 4.0".')]
Folds = Annotated[
    Path | None, typer.Option("--folds", help="A cross-validation of the same recipe, shown apart.")
]
Notes = Annotated[
    Path | None,
    typer.Option(
        "--notes", help="A Markdown file with what only its makers know, taken over as it is.", metavar="FILE"
    ),
]


def card(
    run: RunArgument, licence: Licence = "", folds: Folds = None, notes: Notes = None, json: Json = False
) -> None:
    """Write the model card of an evaluated run, ready to publish; what was not measured it names."""
    from lesionwise.report.model_card import write_model_card
    from lesionwise.run_folder import open_run_folder

    judged = open_run_folder(folds, "cross-validation", "ensemble") if folds else None
    path = write_model_card(
        open_run_folder(run, "run", "ensemble"),
        licence=licence,
        folds=judged,
        notes=read_text(notes) if notes else "",
    )
    print_result(f"Model card: {path}", {"model_card": str(path)}, as_json=json)
