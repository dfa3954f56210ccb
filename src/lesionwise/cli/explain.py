"""`lesionwise explain`."""

from typing import TYPE_CHECKING, Annotated

import typer

from lesionwise.cli.console import print_result, show_work
from lesionwise.cli.options import Json, Quiet, RunArgument
from lesionwise.errors import LesionwiseError, require
from lesionwise.wording import counted

if TYPE_CHECKING:
    from lesionwise.explain.record import Explanation

_PARTS = ("val", "cal", "test", "train")


def explain(
    run: RunArgument,
    part: Annotated[
        str,
        typer.Option(
            "--part",
            help="Part whose images are explained; test only after evaluate --final.",
            metavar="PART",
        ),
    ] = "val",
    images: Annotated[
        list[str] | None,
        typer.Option(
            "--images",
            help="Draw the maps of these images only, and test nothing; may be repeated.",
            metavar="ID,ID,…",
        ),
    ] = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Show where a run's model looked, and test whether the maps can be trusted."""
    from lesionwise.run_folder import open_run_folder, run_to_write

    if part not in _PARTS:
        raise LesionwiseError(f'Expected --part to be one of {", ".join(_PARTS)} but got "{part}".')
    open_run_folder(run, "run")
    require("torch")
    from lesionwise.explain.run import explain_run

    names = [name.strip() for given in images or () for name in given.split(",") if name.strip()]
    with run_to_write(run, "run") as opened, show_work() as execution:
        made = explain_run(opened, part, image_ids=names, execution=execution)
    text = f"{counted(made.images, 'image')} with their maps: {made.page}"
    if made.record:
        text = f"{describe(made.record, part)}\n\n{text}"
    value = {"page": str(made.page), "images": made.images,
             "explanation": made.record.to_json() if made.record else None}  # fmt: skip
    print_result(text, value, as_json=json)


def describe(record: "Explanation", part: str) -> str:
    """Return what the tests of the maps gave, as lines of text."""
    from lesionwise.explain.record import describe_explanation

    counts = f"{counted(record.images, 'image')} of {counted(record.lesions, 'lesion')}"
    title = f"{part}: {record.method}, {counts} (95 % intervals by lesion)"
    return "\n".join([title, *(f"  {sentence}" for sentence in describe_explanation(record))])
