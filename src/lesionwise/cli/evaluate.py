"""`lesionwise evaluate`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lesionwise.cli.console import describe_check, describe_evaluation, print_note, print_result
from lesionwise.cli.options import By, Device, DeviceOption, Json, Out, Quiet
from lesionwise.cli.reevaluate import evaluate_again
from lesionwise.errors import LesionwiseError

if TYPE_CHECKING:
    import pandas as pd

    from lesionwise.evaluation.calibration.check import CalibrationCheck
    from lesionwise.evaluation.predictions import Predictions
    from lesionwise.evaluation.scores.evaluate import Evaluation
    from lesionwise.run_folder import RunFolder

TruthOption = Annotated[
    Path | None,
    typer.Option(
        "--truth", help="True diagnoses of a CSV: ISIC ground truth, or image_id and dx.", metavar="CSV"
    ),
]
TableOption = Annotated[
    Path | None,
    typer.Option("--table", help="Metadata: lesion_id, and age, sex, … for subgroups.", metavar="CSV"),
]
Normalise = Annotated[
    bool, typer.Option("--normalise", help="Divide each row of a CSV's confidences by its sum.")
]
ResampleBy = Annotated[
    By,
    typer.Option("--by", help="What intervals resample; image only where no lesion is known: too narrow."),
]


def evaluate(
    source: Annotated[Path, typer.Argument(help="A run folder, or a predictions CSV.", metavar="RUN|CSV")],
    truth: TruthOption = None,
    table: TableOption = None,
    normalise: Normalise = False,
    by: ResampleBy = "lesion",
    out: Out = None,
    final: Annotated[
        bool, typer.Option("--final", help="Read the test part, and note it in the ledger.")
    ] = False,
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help="Evaluate the trained weights again at another size, zoom or number of views, as a new run; "
            "may be repeated.",
            metavar="KEY=VALUE",
        ),
    ] = None,
    device: DeviceOption = "auto",
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Score the val part of a run (with --final its test part), or a CSV of predictions, with intervals."""
    from lesionwise.run_folder import open_run_folder

    if not source.exists():
        raise LesionwiseError(f"{source}: expected a run folder or a CSV but found nothing.")
    if changes:
        if source.is_file() or final or truth or table or normalise or by == "image":
            raise LesionwiseError(
                "--set goes with a run folder, and with --out, --device, --json and --quiet alone."
            )
        evaluate_again(source, changes, out, device=device, as_json=json, quiet=quiet)
        return
    read = read_metadata(table) if table else None
    if not source.is_file():
        if truth or normalise or out or by == "image":
            raise LesionwiseError("--truth, --normalise, --by and --out go with a CSV; a run knows its own.")
        folds = () if final else ("cross-validation",)  # whose runs are for one fold each
        run = open_run_folder(source, "run", "ensemble", *folds)
        evaluation, title, check = _evaluate_run(run, read, final=final, device=device, quiet=quiet)
    else:
        if final:
            raise LesionwiseError(f"{source}: --final goes with a run folder.")
        given = read_csv(source, truth, read, normalise=normalise)
        evaluation, title = _evaluate_csv(source, given, read, by, out, quiet=quiet), source.name
        check = None
    text, value = describe_evaluation(evaluation, title), evaluation.to_json()
    if check:
        text, value = f"{text}\n{describe_check(check)}", {**value, "calibration": check.to_json()}
    print_result(text, value, as_json=json)


def read_metadata(path: Path) -> "pd.DataFrame":
    """Return a table about images in which `group` holds the lesion groups that splits are made by."""
    from lesionwise.evaluation.tables import read_table
    from lesionwise.split.groups import lesion_groups

    table = read_table(path)
    if "lesion_id" in table and "group" not in table and (table["lesion_id"] != "").all():
        table["group"] = lesion_groups(table)
    return table


def _evaluate_run(
    run: "RunFolder", table: "pd.DataFrame | None", *, final: bool, device: Device, quiet: bool
) -> tuple["Evaluation", str, "CalibrationCheck | None"]:
    from lesionwise.evaluation.runs.scores import evaluate_part, read_check, working_part
    from lesionwise.experiments.image_facts import about_part

    part = "test" if final else working_part(run)
    if final:
        from lesionwise.execution import Execution
        from lesionwise.experiments.final_look import predict_test_together

        look = predict_test_together(run, Execution(device))
        note = "The test part of this run is a fold that was held out, not the final exam: no look is noted."
        if look:
            note = f"Look number {look.number} at the test images of this split, noted in {look.ledger}."
        print_note(note, quiet=quiet)
    known = about_part(run, part) if table is None else table
    return evaluate_part(run, part, table=known), part, read_check(run, part)


def read_csv(
    source: Path, truth: Path | None, table: "pd.DataFrame | None", *, normalise: bool
) -> "Predictions":
    """Return the predictions of a CSV with all that the other two files know about its images."""
    from lesionwise.evaluation.predictions import read_predictions
    from lesionwise.evaluation.runs.scores import verify_not_test
    from lesionwise.evaluation.tables import join_table, join_truth

    verify_not_test(source)
    predictions = read_predictions(source, normalise=normalise)
    if truth:
        predictions = join_truth(predictions, read_metadata(truth), str(truth))
    return predictions if table is None else join_table(predictions, table, "--table")


def _evaluate_csv(
    source: Path,
    predictions: "Predictions",
    table: "pd.DataFrame | None",
    by: By,
    out: Path | None,
    *,
    quiet: bool,
) -> "Evaluation":
    from lesionwise.evaluation.runs.scores import evaluate_predictions, write_given
    from lesionwise.report.html import write_report
    from lesionwise.run_folder import claim_run_folder

    if by == "image":
        print_note("Every photograph counts as a lesion of its own: intervals are too narrow.", quiet=quiet)
    evaluation = evaluate_predictions(predictions, str(source), table=table, by=by)
    if out:
        run = claim_run_folder(out)
        write_given(run, predictions, evaluation, source=source.name)
        print_note(f"Report: {write_report(run)}", quiet=quiet)
    return evaluation
