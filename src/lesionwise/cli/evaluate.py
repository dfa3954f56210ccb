"""`lesionwise evaluate`."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from lesionwise.cli import given
from lesionwise.cli.console import (
    Display,
    describe_check,
    describe_evaluation,
    print_columns,
    print_note,
    print_result,
    show_work,
)
from lesionwise.cli.options import By, Device, DeviceOption, Out, argument, option
from lesionwise.errors import LesionwiseError, require
from lesionwise.progress import SILENT, Progress
from lesionwise.wording import counted

if TYPE_CHECKING:
    import pandas as pd

    from lesionwise.evaluation.calibration.check import CalibrationCheck
    from lesionwise.evaluation.scores.evaluate import Evaluation
    from lesionwise.run_folder import RunFolder


def evaluate(
    source: Annotated[Path, argument("RUN|CSV", "A run folder, or a predictions CSV.")],
    truth: given.TruthOption = None,
    table: given.TableOption = None,
    normalise: given.Normalise = False,
    classes: given.Classes = "",
    by: given.ResampleBy = "lesion",
    model: given.MadeByModel = None,
    malignant: Annotated[
        bool, option("--malignant", "Score malignant against benign only; a truth of these two is enough.")
    ] = False,
    out: Out = None,
    force: given.Force = False,
    final: Annotated[bool, option("--final", "Score the test part, and record this in the ledger.")] = False,
    changes: Annotated[
        list[str] | None,
        option(
            "--set",
            "Another size, zoom, number of views or limit of the second look, with which the trained weights "
            "are evaluated again, as a new run; may be repeated.",
            metavar="KEY=VALUE",
        ),
    ] = None,
    device: DeviceOption = "auto",
) -> None:
    """Score the val part of a run (with --final its test part), or a CSV of predictions, with intervals."""
    from lesionwise.run_folder import open_run_folder, run_to_write

    if not source.exists():
        raise LesionwiseError(f"{source}: expected a run folder or a CSV but found nothing.")
    for_csv = any((truth, normalise, classes, force, model, malignant, by == "image"))
    if changes:
        if source.is_file() or final or table or for_csv:
            raise LesionwiseError(
                "--set needs a run folder, and allows only --out, --device, --json and --quiet beside it."
            )
        evaluate_again(source, changes, out, device)
    elif source.is_file():
        if final:
            raise LesionwiseError(f"{source}: is a CSV, and --final needs a run folder.")
        known = given.Known(truth, table, normalise=normalise, model=model, classes=classes)
        if malignant:
            _evaluate_malignant(source, known, by, is_written=out is not None)
        else:
            print_result(*given.score_csv(given.read_csv(source, known), by, out, force=force))
    else:
        if out or for_csv:
            raise LesionwiseError(
                "--truth, --normalise, --classes, --by, --model, --malignant, --out and --force are for a "
                "CSV: a run states its own."
            )
        folds = () if final else ("cross-validation",)  # whose runs are for one fold each
        open_run_folder(source, "run", "ensemble", *folds)
        if final:
            require("torch")
        read = given.read_metadata(table) if table else None
        with run_to_write(source, "run", "ensemble", *folds) as run:
            evaluation, title, check = _evaluate_run(run, read, final=final, device=device)
        text, value = describe_evaluation(evaluation, title), evaluation.to_json()
        if check:
            text, value = f"{text}\n{describe_check(check)}", {**value, "calibration": check.to_json()}
        print_result(text, value)


def _evaluate_malignant(source: Path, known: given.Known, by: By, *, is_written: bool) -> None:
    from lesionwise.diagnoses import DIAGNOSIS_COLUMNS
    from lesionwise.evaluation.malignancy import evaluate_malignancy, read_malignancy
    from lesionwise.evaluation.predictions import read_predictions
    from lesionwise.evaluation.runs.scores import verify_not_test

    truth = known.truth
    if truth is None or known.table or known.model or is_written:
        raise LesionwiseError(
            "--malignant needs --truth, and allows only --normalise, --classes and --by beside it."
        )
    if truth.is_dir():
        raise LesionwiseError(f"{truth}: --malignant needs a table but this is a folder. Pass its table.")
    verify_not_test(source)
    predictions = read_predictions(source, normalise=known.normalise, classes=known.order)
    malignancy = read_malignancy(truth)
    used = ("image_id", "lesion_id", "benign_malignant", "target", *DIAGNOSIS_COLUMNS)
    print_columns(truth, used)
    if by == "image":
        print_note(given.BY_IMAGE)
    found = evaluate_malignancy(predictions, malignancy, str(truth), by_image=by == "image")
    unknown = f"; {counted(found.unknown, 'image')} of neither kind left out" if found.unknown else ""
    lines = [f"{name.replace('_', ' ')} {value}" for name, value in found.scores.items()]
    head = f"{source.name}: {counted(found.images, 'image')} of {counted(found.lesions, 'lesion')}"
    print_result("\n".join([f"{head}, {found.malignant:,} malignant{unknown}.", *lines]), found.to_json())


def _evaluate_run(
    run: "RunFolder", table: "pd.DataFrame | None", *, final: bool, device: Device
) -> tuple["Evaluation", str, "CalibrationCheck | None"]:
    from lesionwise.data.collection import PHANTOM_WARNING, collection_of
    from lesionwise.evaluation.runs.predictions import read_run_predictions
    from lesionwise.evaluation.runs.scores import evaluate_part, read_check, working_part

    part = "test" if final else working_part(run)
    if final:
        from lesionwise.training.ledger import predict_test_together

        with show_work(device) as execution:
            look = predict_test_together(run, execution)
        note = "The test part of this run is a held-out fold and not the final exam, so no look was recorded."
        if look:
            note = f"This was look {look.number} at the test images of this split. {look.ledger} records it."
        print_note(note)
    if collection_of(read_run_predictions(run, part).image_id) == "phantom":
        print_note(PHANTOM_WARNING)
    evaluation = (
        score_part(run, part, progress=Display()) if table is None else evaluate_part(run, part, table=table)
    )
    return evaluation, part, read_check(run, part)


def score_part(run: "RunFolder", part: str, *, progress: Progress = SILENT) -> "Evaluation":
    """Score a part of a run with all that is known of its images, and say so where their data is missing."""
    from lesionwise.evaluation.runs.scores import evaluate_part
    from lesionwise.experiments.image_facts import about_part

    table, missing = about_part(run, part, progress=progress)
    if missing:
        print_note(missing)
    return evaluate_part(run, part, table=table)


def evaluate_again(run: Path, changes: Sequence[str], out: Path | None, device: Device) -> None:
    """Evaluate trained weights again at another size, zoom or number of views, and print the scores."""
    from lesionwise.files import read_json
    from lesionwise.recipe import load_recipe
    from lesionwise.run_folder import next_run_path, open_run_folder

    load_recipe(open_run_folder(run, "run", "cross-validation").config, changes)
    require("torch")
    from lesionwise.evaluation.runs.scores import working_part
    from lesionwise.evaluation.scores.evaluate import Evaluation
    from lesionwise.experiments.reevaluate import reevaluate

    own = out or next_run_path(Path("runs"), run.resolve().name)
    with show_work(device) as execution:
        folder = reevaluate(run, changes, own, execution=execution)
    value, made, part = {"run": str(folder.path)}, f"New run: {folder.path}", working_part(folder)
    scored = read_json(folder.scores)["parts"][part] if folder.predictions(part).is_file() else None
    print_made(folder, part, scored and Evaluation.from_json(scored), made, value)


def print_made(
    run: "RunFolder", part: str, evaluation: "Evaluation | None", made: str, value: dict[str, Any]
) -> None:
    """Print the scores of a run that was made of others, or why it has none."""
    from lesionwise.evaluation.runs.predictions import describe_unscored

    text = describe_evaluation(evaluation, part) if evaluation else describe_unscored(run)
    scores = {part: evaluation.to_json()} if evaluation else {}
    print_result(f"{text}\n\n{made}", {**value, **scores})
