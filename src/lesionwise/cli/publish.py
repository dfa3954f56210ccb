"""`lesionwise bundle publish`."""

from pathlib import Path
from typing import Annotated

import typer

from lesionwise.cli.console import print_result
from lesionwise.cli.options import Json

Source = Annotated[
    Path, typer.Argument(help="A run folder with model.onnx, or a bundle.", metavar="RUN|FILE")
]
Folder = Annotated[Path, typer.Argument(help="Folder to make.", metavar="DIR")]
LicenceText = Annotated[
    Path | None,
    typer.Option(
        "--licence-text",
        help="File with the text of the licence, where it is not one of Creative Commons.",
        metavar="FILE",
    ),
]


def publish(source: Source, folder: Folder, licence_text: LicenceText = None, json: Json = False) -> None:
    """Lay a model out for a model hub: bundle, card, licence, checksums. Nothing is uploaded."""
    from lesionwise.bundle.publishing import publish as lay_out

    made = lay_out(source, folder, licence_text=licence_text)
    print_result(
        f"{made.folder}: {', '.join(made.files)}. Look through README.md, then upload the folder.",
        {"folder": str(made.folder), "files": list(made.files), "sha256": made.sha256},
        as_json=json,
    )
