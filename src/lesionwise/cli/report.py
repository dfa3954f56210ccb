"""What readers get of a run: `lesionwise report` and `explain`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from lesionwise.cli import given
from lesionwise.cli.console import Display, be_quiet, print_note, print_result, prints_json, show_work
from lesionwise.cli.evaluate import score_part
from lesionwise.cli.options import Out, RunArgument, argument, file_option, option, read_text
from lesionwise.errors import LesionwiseError, require
from lesionwise.wording import counted

if TYPE_CHECKING:
    from lesionwise.explain.record import Explanation
    from lesionwise.run_folder import RunFolder


def report(
    run: Annotated[Path, argument("RUN|CSV", "A run folder, or a predictions CSV.")],
    card: Annotated[
        bool, option("--card", "Write the model card too, model_card.md; it says what was not measured.")
    ] = False,
    licence: Annotated[
        str, option("--licence", 'With --card: licence of the weights, such as "CC BY-NC 4.0".')
    ] = "",
    folds: Annotated[
        Path | None,
        option(
            "--folds",
            "With --card: a cross-validation of the same recipe, shown in a section of its own.",
            metavar="RUN",
        ),
    ] = None,
    notes: Annotated[
        Path | None,
        file_option(
            "--notes",
            "With --card: a Markdown file with what only the makers of the model know; it is copied "
            "as it is.",
        ),
    ] = None,
    truth: given.TruthOption = None,
    table: given.TableOption = None,
    normalise: given.Normalise = False,
    classes: given.Classes = "",
    by: given.ResampleBy = "lesion",
    model: given.MadeByModel = None,
    out: Out = None,
    force: given.Force = False,
) -> None:
    """Write the report of a run or a predictions CSV; with --card the model card of a run too."""
    from lesionwise.files import sole_writer
    from lesionwise.run_folder import RunFolder, open_run_folder

    if run.is_file():
        if card or out is None:
            raise LesionwiseError(f"{run}: the report of a CSV needs --out DIR, and a CSV has no model card.")
        if prints_json():
            be_quiet()
        known = given.Known(truth, table, normalise=normalise, model=model, classes=classes)
        csv = given.read_csv(run, known)
        be_quiet()  # the result names the report
        given.score_csv(csv, by, out, force=force)
        path = RunFolder(out).report
        print_result(f"Report: {path}", {"report": str(path)})
        return
    if truth or table or normalise or classes or model or out or force or by == "image":
        raise LesionwiseError(
            "--truth, --table, --normalise, --classes, --by, --model, --out and --force are for a CSV."
        )
    if not card and (licence or folds or notes):
        raise LesionwiseError("--licence, --folds and --notes are for the model card. Add --card.")
    folder = RunFolder(run)  # evaluate CSV --out leaves scores without a recipe
    if card or folder.config.is_file() or not folder.scores.is_file():
        kinds = ("run", "ensemble") if card else ("run", "ensemble", "cross-validation")
        folder = open_run_folder(run, *kinds)
    judged = open_run_folder(folds, "cross-validation", "ensemble") if folds else None
    text = read_text(notes) if notes else ""
    from lesionwise.evaluation.runs.evaluated import load_evaluated
    from lesionwise.report.html import write_report

    if card and not licence:
        print_note(
            'No licence was stated, and the model cannot be published without one: --licence "CC BY-NC 4.0".'
        )
    with sole_writer(run), Display() as display:
        _evaluate_first(folder)
        found = load_evaluated(folder)  # once for both
        path = write_report(found, progress=display)
        lines, value = [f"Report: {path}"], {"report": str(path)}
        if card:
            from lesionwise.report.model_card import write_model_card

            written = write_model_card(found, licence=licence, folds=judged, notes=text)
            lines, value = [*lines, f"Model card: {written}"], {**value, "model_card": str(written)}
    print_result("\n".join(lines), value)


def _evaluate_first(run: "RunFolder") -> None:
    """Score the part that choices are made on, if the run was not evaluated yet."""
    from lesionwise.evaluation.runs.scores import is_evaluated, working_part

    part = working_part(run)
    if is_evaluated(run) or not run.predictions(part).is_file():
        return
    print_note(f"{run.path}: was not evaluated yet, so its {part} part is scored first.")
    score_part(run, part)


def explain(
    run: RunArgument,
    part: Annotated[
        Literal["val", "cal", "test", "train"],
        option("--part", "Part whose images are explained; test only after evaluate --final."),
    ] = "val",
    images: Annotated[
        list[str] | None,
        option(
            "--images",
            "Ids of images whose maps are drawn, without any test; may be repeated.",
            metavar="ID,ID,…",
        ),
    ] = None,
) -> None:
    """Show where a run's model looked, and test whether the maps can be trusted."""
    from lesionwise.run_folder import open_run_folder, run_to_write

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
    print_result(text, value)


def describe(record: "Explanation", part: str) -> str:
    """Return what the tests of the maps gave, as lines of text."""
    from lesionwise.explain.record import describe_explanation

    counts = f"{counted(record.images, 'image')} of {counted(record.lesions, 'lesion')}"
    title = f"{part}: {record.method}, {counts} (95 % intervals by lesion)"
    return "\n".join([title, *(f"  {sentence}" for sentence in describe_explanation(record))])
