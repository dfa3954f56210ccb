"""`lesionwise evaluate` and `lesionwise report`."""

from pathlib import Path
from typing import Annotated

import typer

from lesionwise.cli.console import describe_evaluation, print_note, print_result
from lesionwise.cli.options import Device, DeviceOption, Json, Quiet

RunArgument = Annotated[Path, typer.Argument(help="A run folder.", metavar="RUN")]


def evaluate(
    source: Annotated[Path, typer.Argument(help="A run folder, or a predictions CSV.", metavar="RUN|CSV")],
    final: Annotated[
        bool, typer.Option("--final", help="Read the test part, and note it in the ledger.")
    ] = False,
    device: DeviceOption = Device.auto,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Score predictions, with intervals; of a run its val part, with --final its test part."""
    from lesionwise.evaluate.predictions import read_predictions
    from lesionwise.evaluate.run_scores import evaluate_part, evaluate_predictions
    from lesionwise.run_folder import open_run_folder

    if source.is_file():
        evaluation, title = evaluate_predictions(read_predictions(source), str(source)), source.name
    elif final:
        from lesionwise.train.run import predict_test

        run = open_run_folder(source)
        looks = predict_test(run, device=device.value)
        print_note(f"The test images of this split have now been looked at {looks} times.", quiet=quiet)
        evaluation, title = evaluate_part(run, "test"), "test"
    else:
        evaluation, title = evaluate_part(open_run_folder(source), "val"), "val"
    print_result(describe_evaluation(evaluation, title), evaluation.to_json(), as_json=json)


def report(run: RunArgument, json: Json = False) -> None:
    """Write the report of an evaluated run."""
    from lesionwise.report.html import write_report
    from lesionwise.run_folder import open_run_folder

    path = write_report(open_run_folder(run))
    print_result(f"Report: {path}", {"report": str(path)}, as_json=json)
