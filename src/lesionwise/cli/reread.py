"""`lesionwise reread`."""

from pathlib import Path
from typing import Annotated

import typer

from lesionwise.cli.console import describe_evaluation, print_note, print_result
from lesionwise.cli.options import DeviceOption, Json, Out, Quiet, Set


def reread(
    run: Annotated[Path, typer.Argument(help="A trained run, or a cross-validation.", metavar="RUN")],
    changes: Set = None,
    out: Out = None,
    device: DeviceOption = "auto",
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Let trained weights look at images otherwise: at another size or zoom, in more views."""
    from lesionwise.evaluation.runs.predictions import describe_unscored
    from lesionwise.evaluation.runs.scores import evaluate_part, working_part
    from lesionwise.experiments.reread import reread as look_otherwise
    from lesionwise.run_folder import next_run_path

    folder = look_otherwise(
        run,
        changes or [],
        out or next_run_path(Path("runs"), run.resolve().name),
        device=device,
        on_run=lambda name: print_note(f"Predicting: {name}", quiet=quiet),
    )
    part = working_part(folder)
    value = {"run": str(folder.path)}
    if not folder.predictions(part).is_file():
        print_result(f"{describe_unscored(folder)}\n\nReread: {folder.path}", value, as_json=json)
        return
    evaluation = evaluate_part(folder, part)
    text = f"{describe_evaluation(evaluation, part)}\n\nReread: {folder.path}"
    print_result(text, {**value, part: evaluation.to_json()}, as_json=json)
