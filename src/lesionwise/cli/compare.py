"""`lesionwise compare`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from lesionwise.cli import given
from lesionwise.cli.console import print_note, print_result
from lesionwise.cli.options import By, argument, complete_model, option, verify_models
from lesionwise.errors import LesionwiseError
from lesionwise.names import match_names
from lesionwise.wording import counted

if TYPE_CHECKING:
    from lesionwise.bundle.seen import Seen
    from lesionwise.evaluation.compare import Comparison, Contest
    from lesionwise.evaluation.predictions import Predictions

_SHOWN = ("balanced_accuracy", "accuracy", "macro_f1", "macro_auc", "log_loss", "brier")


def compare(
    sources: Annotated[
        list[Path], argument("RUN|CSV RUN|CSV…", "Two or more runs or CSVs; each is compared with the first.")
    ],
    truth: given.TruthOption = None,
    table: given.TableOption = None,
    normalise: given.Normalise = False,
    classes: given.Classes = "",
    by: given.ResampleBy = "lesion",
    models: Annotated[
        list[Path] | None,
        option(
            "--model",
            "Bundle that made some of the predictions and is not an included one, to find images that "
            "it was trained on; may be repeated.",
            metavar="FILE",
            callback=verify_models,
            autocompletion=complete_model,
        ),
    ] = None,
) -> None:
    """Compare models on the same images (runs by their val parts): paired differences, ranks, a verdict."""
    if len(sources) < 2:  # noqa: PLR2004 (one has nothing to be compared with)
        raise LesionwiseError("Expected at least two runs or CSVs but got one.")
    from lesionwise.run_folder import open_run_folder, verify_same_split

    verify_same_split([open_run_folder(source) for source in sources if not source.is_file()])
    from lesionwise.evaluation.compare import compare as compare_predictions

    if by == "image":
        print_note(given.BY_IMAGE)
    among = tuple(models or ())
    known = given.Known(truth, table, normalise=normalise, classes=classes, among=among)
    read = [(str(source), *_read(source, known)) for source in sources]
    _verify_named(among, [predictions for _, predictions, _ in read])
    named = [(name, predictions) for name, predictions, _ in read]
    contest = compare_predictions(named, by=by)
    value = contest.to_json()
    found = {name: seen for name, _, seen in read if seen and seen.reasons}
    if not found:
        print_result(_describe_contest(contest, by), value)
        return
    clean_text, clean = _compare_clean(named, found, by)
    stamps = [f"{name}: {seen.describe()}" for name, seen in found.items()]
    text = "\n".join([*stamps, "", _describe_contest(contest, by, judged=False), "", clean_text])
    seen_json = {name: seen.to_json() for name, seen in found.items()}
    print_result(text, {**value, "seen_in_training": seen_json, "clean": clean})


def _verify_named(models: tuple[Path, ...], read: "list[Predictions]") -> None:
    """Refuse a bundle that made none of the predictions: its training images would not be looked up."""
    from lesionwise.bundle.load import read_bundle

    made_by = {predictions.model.sha256 for predictions in read if predictions.model}
    for path in models:
        sha256 = read_bundle(path).sha256
        if sha256 not in made_by:
            raise LesionwiseError(
                f"{path}: has the SHA-256 {sha256[:12]}, which none of the predictions names. Pass the file "
                "that made some of them."
            )


def _read(source: Path, known: given.Known) -> "tuple[Predictions, Seen | None]":
    from lesionwise.evaluation.runs.predictions import read_run_predictions
    from lesionwise.evaluation.runs.scores import working_part
    from lesionwise.run_folder import open_run_folder

    if source.is_file():
        csv = given.read_csv(source, known)
        return csv.predictions, csv.seen
    run = open_run_folder(source)
    return read_run_predictions(run, working_part(run)), None


def _compare_clean(
    named: "list[tuple[str, Predictions]]", found: "dict[str, Seen]", by: By
) -> tuple[str, dict[str, Any] | None]:
    """Compare the models on the images that none of them was made with, and return text and JSON."""
    import numpy as np

    from lesionwise.evaluation.compare import align
    from lesionwise.evaluation.compare import compare as compare_predictions

    aligned = align(named, by=by)
    images = aligned[0][1].image_id
    touched = np.zeros(len(images), dtype=bool)
    for seen in found.values():
        touched |= np.isin(images, list(match_names(list(seen.reasons), images.tolist()).values()))
    if touched.all():
        return "Verdict: none. Each image, or its lesion, was seen by a model in training.", None
    clean = compare_predictions([(name, predictions.take(~touched)) for name, predictions in aligned], by=by)
    head = "On the clean rest (quote this comparison):"
    return f"{head}\n\n{_describe_contest(clean, by)}", clean.to_json()


def _describe_contest(contest: "Contest", by: By, *, judged: bool = True) -> str:
    blocks = [_describe(comparison, by) for comparison in contest.comparisons]
    width = max(len(standing.name) for standing in contest.standings)
    lines = [f"Ranks by {contest.score} (95 % of the resamples; distances hold for all models at once)"]
    for one in contest.standings:
        places = f"{one.rank_low}" if one.rank_low == one.rank_high else f"{one.rank_low} to {one.rank_high}"
        behind = f"   behind the best by {one.behind}" if one.behind else ""
        lines.append(f"  {one.rank}  ({places})  {one.name:{width}}  {one.score:.3f}{behind}")
    verdict = [f"Verdict: {contest.verdict()}"] if judged else []
    return "\n\n".join([*blocks, "\n".join(lines), *verdict])


def _describe(comparison: "Comparison", by: By) -> str:
    from lesionwise.evaluation.scores.evaluate import mean_title

    test = comparison.mcnemar
    counts = f"{counted(comparison.images, 'image')} of {counted(comparison.lesions, 'lesion')}"
    lines = [f"{comparison.name} minus {comparison.reference}: {counts} (95 % intervals by paired {by}s)"]
    shown = {
        mean_title(name, comparison.diagnoses): comparison.differences[name]
        for name in _SHOWN
        if name in comparison.differences
    }
    width = max(18, *map(len, shown))
    for title, difference in shown.items():
        clear = "" if difference.low <= 0 <= difference.high else "   0 is outside"
        lines.append(f"  {title:{width}} {difference:+.3f}{clear}")
    lines.append(
        f"  right alone: {counted(test.second_alone, 'image')}, {comparison.reference} {test.first_alone}; "
        f"exact McNemar p = {test.p_value:.2g} (treats images as independent)"
    )
    return "\n".join(lines)
