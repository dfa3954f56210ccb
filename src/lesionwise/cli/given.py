"""Predictions of anybody's model: reading them, looking up their training images, and scoring them."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

from lesionwise.cli.console import describe_evaluation, print_columns, print_note, verdict_on
from lesionwise.cli.options import By, model_option, option, table_option
from lesionwise.errors import LesionwiseError
from lesionwise.wording import counted

if TYPE_CHECKING:
    import pandas as pd

    from lesionwise.bundle.seen import Seen
    from lesionwise.evaluation.predictions import Predictions
    from lesionwise.evaluation.scores.evaluate import Evaluation

TruthOption = Annotated[
    Path | None,
    table_option(
        "--truth",
        "True diagnoses for a CSV: ISIC ground truth, a table of image_id and dx, or a data folder.",
    ),
]
TableOption = Annotated[
    Path | None,
    table_option("--table", "Metadata: lesion_id, and age, sex, … for subgroups; a table or a data folder."),
]
Normalise = Annotated[bool, option("--normalise", "Divide each row of the CSV's confidences by its sum.")]
ResampleBy = Annotated[
    By,
    option(
        "--by",
        "Unit that is resampled for the intervals. Use image only if no lesion is known; the intervals "
        "are then too narrow.",
    ),
]
Force = Annotated[bool, option("--force", "With --out: write over an evaluation of other predictions.")]
Classes = Annotated[
    str,
    option(
        "--classes",
        "Codes that the model of a CSV knows, in the order of numbered columns: akiec,bcc,…",
        metavar="CODES",
    ),
]
MadeByModel = Annotated[
    Path | None,
    model_option("--model", "Bundle that made the predictions, to find images that it was trained on."),
]
BY_IMAGE: Final = "Every photograph counts as a lesion of its own, so the intervals are too narrow."


@dataclass(frozen=True)
class Known:
    """What a user gives beside predictions.

    Attributes:
        table: Table or data folder with what is known of the images besides.
        classes: Codes in the order of numbered columns, with commas between them.
        among: Bundles of which one may have made the predictions; that which they name by its hash counts.
    """

    truth: Path | None = None
    table: Path | None = None
    normalise: bool = False
    model: Path | None = None
    classes: str = ""
    among: tuple[Path, ...] = ()

    @property
    def order(self) -> list[str] | None:
        """The codes of `classes`; None if they were not given."""
        return self.classes.split(",") if self.classes else None

    @cached_property
    def true_diagnoses(self) -> "pd.DataFrame | None":
        """The table of `truth`, read once for all predictions that it is joined to."""
        return read_metadata(self.truth) if self.truth else None

    @cached_property
    def metadata(self) -> "pd.DataFrame | None":
        """The table of `table`, read once as well."""
        return read_metadata(self.table) if self.table else None


@dataclass(frozen=True)
class Given:
    """Predictions of a CSV with all that is known of their images.

    Attributes:
        predictions: Predictions with truth and lesions, as far as they are known.
        table: What is known of the images besides; None if nothing was given.
        seen: Which of them made the model; None if that cannot be known.
    """

    source: Path
    predictions: "Predictions"
    table: "pd.DataFrame | None"
    seen: "Seen | None"


def read_metadata(path: Path) -> "pd.DataFrame":
    """Return a table about images in which `group` holds the lesion groups that splits are made by."""
    from lesionwise.evaluation.tables import USED, read_table
    from lesionwise.split.groups import lesion_groups

    if not path.is_file():
        return _read_folder(path)
    table = read_table(path)
    print_columns(path, USED)
    if "lesion_id" in table and "group" not in table and (table["lesion_id"] != "").all():
        table["group"] = lesion_groups(table)
    return table


def _read_folder(folder: Path) -> "pd.DataFrame":
    """Return the same table of a data folder; `foreign` says why an image has none of the seven diagnoses."""
    import pandas as pd

    from lesionwise.data.dataset import read_dataset
    from lesionwise.split.groups import lesion_groups

    dataset = read_dataset(folder, without_table=True)
    print_note(*dataset.about)
    known = dataset.table.astype(object).where(dataset.table.notna(), "").astype(str)
    known = known.assign(group=lesion_groups(dataset.table), foreign="")
    foreign = [(name, kind) for kind, names in dataset.left_out.items() for name in names]
    lost = pd.DataFrame(foreign, columns=["image_id", "foreign"], dtype=str)
    return pd.concat([known, lost], ignore_index=True).fillna("")


def read_csv(source: Path, known: Known) -> Given:
    """Read the predictions of a CSV, and look up truth, lesions and training images."""
    from lesionwise.evaluation.predictions import read_predictions
    from lesionwise.evaluation.runs.scores import verify_not_test
    from lesionwise.evaluation.tables import join_table, join_truth

    verify_not_test(source)
    predictions = read_predictions(source, normalise=known.normalise, classes=known.order)
    table = known.metadata
    if known.true_diagnoses is not None:
        predictions, truth = _without_foreign(predictions, known.true_diagnoses, str(known.truth))
        predictions = join_truth(predictions, truth, str(known.truth))
    if table is not None:
        predictions, table = _without_foreign(predictions, table, "--table")
        predictions = join_table(predictions, table, "--table")
    predictions = _join_shipped(predictions)
    seen = _find_seen(predictions, _maker(predictions, known))
    return Given(source, predictions, table, seen)


def _without_foreign(
    predictions: "Predictions", table: "pd.DataFrame", source: str
) -> tuple["Predictions", "pd.DataFrame"]:
    """Leave out the images whose diagnosis is none of the seven, and say how many."""
    from lesionwise.evaluation.tables import describe_foreign, leave_out_foreign

    predictions, table, counts = leave_out_foreign(predictions, table)
    if counts:
        print_note(describe_foreign(counts, source))
    return predictions, table


def score_csv(given: Given, by: By, out: Path | None, *, force: bool = False) -> tuple[str, dict[str, Any]]:
    """Return the scores of a CSV as text and as JSON; images that made the model are scored apart."""
    from lesionwise.bundle.seen import SEEN_STAMP
    from lesionwise.evaluation.runs.scores import claim_given_folder, evaluate_predictions, write_given
    from lesionwise.files import sole_writer

    if by == "image":
        print_note(BY_IMAGE)
    predictions, source, seen = given.predictions, str(given.source), given.seen
    evaluation = evaluate_predictions(predictions, source, table=given.table, by=by)
    rest = None
    if seen and seen.reasons:
        unseen = ~seen.mask(predictions.image_id)
        rest = evaluate_predictions(predictions.take(unseen), source, by=by) if unseen.any() else None
    if out:
        from lesionwise.report.html import write_report

        facts = {"source": given.source.name}
        if seen and seen.reasons:
            facts |= {"stamp": SEEN_STAMP, "seen": seen.describe()}
        with sole_writer(out):
            run = claim_given_folder(out, predictions, force=force)
            write_given(run, predictions, evaluation, facts, clean=rest)
            print_note(f"Report: {write_report(run)}")
    value = evaluation.to_json()
    if seen:
        value["seen_in_training"] = {**seen.to_json(), "clean": rest.to_json() if rest else None}
    scores = describe_evaluation(evaluation, given.source.name, judged=not (seen and seen.reasons))
    if seen is None:
        return scores, value
    if not seen.reasons:
        return f"{scores}\n{seen.describe()}", value
    return "\n".join([seen.describe(), scores, *_describe_rest(rest)]), value


def _describe_rest(rest: "Evaluation | None") -> list[str]:
    """Return the scores and the verdict on the images that the model was not made with."""
    if rest is None:
        return [
            "Verdict: none. The model was trained on every image or its lesion. New lesions were not tested."
        ]
    scores = ", ".join(
        f"{rest.title(name)} {rest.overall[name]}" for name in ("balanced_accuracy", "accuracy")
    )
    clean = f"The clean rest, {counted(rest.images, 'image')} of {counted(rest.lesions, 'lesion')}: {scores}."
    return [f"{clean} This is the score to quote.", verdict_on(rest, "the clean rest")]


def _join_shipped(predictions: "Predictions") -> "Predictions":
    """Return the predictions with the truth and lesions of HAM10000, if all images are of it."""
    from lesionwise.data.known_lesions import known_lesions
    from lesionwise.evaluation.tables import join_table
    from lesionwise.names import match_names
    from lesionwise.split.groups import lesion_groups

    lacking = [
        what
        for what, values in (("diagnoses", predictions.y_true), ("lesions", predictions.group))
        if values is None
    ]
    known = known_lesions()
    ids = predictions.image_id.tolist()
    if not lacking or len(match_names(ids, known["image_id"].tolist())) < len(ids):
        return predictions
    columns = ["image_id", *(["dx"] if "diagnoses" in lacking else [])]
    table = known[columns].assign(group=lesion_groups(known))
    print_note(f"All images are of HAM10000: {' and '.join(lacking)} were taken from the included table.")
    return join_table(predictions, table, "HAM10000")


def _maker(predictions: "Predictions", known: Known) -> Path | None:
    """Return the bundle that was given as the one that made the predictions, None if none was."""
    from lesionwise.bundle.load import read_bundle

    made_by = predictions.model
    if known.model or not made_by:
        return known.model
    return next((path for path in known.among if read_bundle(path).sha256 == made_by.sha256), None)


def _find_seen(predictions: "Predictions", model: Path | None) -> "Seen | None":
    from lesionwise.bundle.load import read_bundle
    from lesionwise.bundle.seen import seen_images, shipped_description

    made_by = predictions.model
    if model:
        bundle = read_bundle(model)
        if made_by and made_by.sha256 != bundle.sha256:
            raise LesionwiseError(
                f"{model}: has the SHA-256 {bundle.sha256[:12]} but the predictions name {made_by.name} with "
                f"{made_by.sha256[:12]}. Pass the file that made them."
            )
        description = bundle.description
    elif made_by:
        found = shipped_description(made_by)
        if found is None:
            print_note(
                f"The predictions were made by {made_by.name} (SHA-256 {made_by.sha256[:12]}), which is "
                "not included in this version. Pass --model FILE to find images that it was trained on."
            )
            return None
        description = found
    else:
        return None
    seen = seen_images(description, predictions)
    if seen is None:
        print_note(f"{description.name} does not state which images it was trained on.")
    return seen
