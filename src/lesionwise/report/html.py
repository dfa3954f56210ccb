"""`report.html`: what was done, on which data, what came out, and how to do it again."""

import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from markupsafe import Markup

from lesionwise.data.collection import PHANTOM_WARNING, collection_of
from lesionwise.data.images import read_image
from lesionwise.encoding import jpeg_uri
from lesionwise.errors import ImageError
from lesionwise.evaluation.predictions import Predictions
from lesionwise.evaluation.runs.evaluated import EvaluatedRun, Sample, load_evaluated
from lesionwise.evaluation.scores.curves import precision_recall_table, reliability_table, roc_table
from lesionwise.evaluation.scores.evaluate import LOSSES, Evaluation
from lesionwise.evaluation.scores.gaps import describe_gaps
from lesionwise.evaluation.scores.subgroups import TITLES, evaluate_subgroups
from lesionwise.experiments.image_facts import RunImages, run_images
from lesionwise.explain.overlay import surest_mistakes
from lesionwise.files import write_text
from lesionwise.labels import CODES, NAMES
from lesionwise.page.shell import render_page
from lesionwise.page.theme import Drawing, write_figures
from lesionwise.progress import SILENT, Progress, Stages
from lesionwise.report import figures, summary
from lesionwise.report.trust import (
    calibration_facts,
    confidence_drawings,
    explanation_facts,
    overlays,
    robustness_facts,
    stability_facts,
)
from lesionwise.run_folder import RunFolder
from lesionwise.split.split_file import read_split

_STAGES: Final = 4
SHOWN_EACH: Final = 12  # mistakes of each kind
THUMBNAIL: Final = (150, 200)  # height and width in pixels: sharp at 100 CSS pixels on a phone
_JPEG_QUALITY: Final = 82


def write_report(run: RunFolder | EvaluatedRun, *, progress: Progress = SILENT) -> Path:
    """Write figures, their tables and `report.html` of a run, and return the path of the page.

    A folder that `evaluate CSV --out` made has scores but no recipe: its page leaves out the training.
    """
    stages = Stages(progress, _STAGES)
    stages.begin("reading the evaluation and the images")
    found = load_evaluated(run) if isinstance(run, RunFolder) else run
    run, evaluation = found.folder, found.evaluation
    images = run_images(run, found.image_ids)
    stages.begin("drawing scores")
    drawn = write_figures(run.figures, _score_drawings(evaluation), found.part)
    reliability = None
    stages.begin("drawing curves")
    if found.sample is not None:
        reliability = reliability_table(*found.sample)
        curves = _curve_drawings(evaluation, found.sample) | confidence_drawings(found, reliability)
        drawn |= write_figures(run.figures, curves, found.part)
    stages.begin("scoring subgroups and reading thumbnails")
    page = render_page(
        "lesionwise.report",
        "report.html",
        name=run.path.resolve().name,
        evaluation=evaluation,
        evaluations=found.parts,
        sentences=summary.main_sentences(evaluation, reliability),
        warning=summary.audit_sentence(evaluation),
        losses=LOSSES,
        diagnoses=NAMES,
        figures=drawn,
        confidence=calibration_facts(found.check, found.calibration)
        if found.check and found.calibration
        else None,
        subgroups=evaluation.subgroups or _subgroups(found, images),
        missing_data=images.missing,
        gap_sentences=describe_gaps(evaluation.gaps),
        subgroup_titles=TITLES,
        explanation=explanation_facts(run, found.part, drawn),
        robustness=robustness_facts(run, found.part, drawn),
        stability=stability_facts(run, drawn),
        gallery=_gallery(found, images),
        phantom=PHANTOM_WARNING if _is_of_phantoms(found) else None,
        **vars(found),
        **_training(run, drawn),
    )
    write_text(run.report, page)
    return run.report


def _is_of_phantoms(found: EvaluatedRun) -> bool:
    """Return whether the images are drawn; the split knows them where the predictions are gone."""
    ids = found.image_ids
    if not ids and found.folder.split.is_file():
        ids = read_split(found.folder.split).frame["image_id"].tolist()
    return collection_of(ids) == "phantom"


def _score_drawings(evaluation: Evaluation) -> dict[str, Drawing]:
    counts, shares = figures.confusion_table(evaluation), figures.confusion_share_table(evaluation)
    wrong, by_class = figures.wrong_table(evaluation), figures.class_score_table(evaluation)
    return {
        "confusion": (figures.plot_confusion(counts), counts.reset_index(), "Confusion matrix, counts"),
        "confusion-rows": (figures.plot_confusion(shares), shares.reset_index(),
                           "Confusion matrix, as shares of each true diagnosis"),
        "wrong": (figures.plot_wrong(wrong), wrong, "Share of wrong answers for each diagnosis"),
        "class-scores": (figures.plot_class_scores(by_class), by_class,
                         "Recall, precision, F1 and AUC of each diagnosis with intervals"),
    }  # fmt: skip


def _curve_drawings(evaluation: Evaluation, sample: Sample) -> dict[str, Drawing]:
    roc, precision = roc_table(*sample), precision_recall_table(*sample)
    return {
        "roc": (figures.plot_roc(roc, evaluation), roc, "ROC curve of each diagnosis against the rest"),
        "precision-recall": (figures.plot_precision_recall(precision, evaluation), precision,
                             "Precision at each recall of each diagnosis"),
    }  # fmt: skip


def _training(run: RunFolder, drawn: dict[str, Markup]) -> dict[str, Any]:
    """Return recipe, best epoch and members, and draw the history; a folder without a recipe has none."""
    found: dict[str, Any] = {"recipe": None, "best": None, "members": []}
    if not run.config.is_file():
        return found
    recipe = tomllib.loads(run.config.read_text(encoding="utf-8"))
    if "model" not in recipe:  # an ensemble names its members instead
        return {**found, "members": [Path(member).name for member in recipe.get("ensemble", [])]}
    found["recipe"] = recipe
    if not run.history.is_file():
        return found
    history, monitor = pd.read_csv(run.history), recipe["monitor"]
    title = "Loss, accuracy and learning rate by epoch"
    drawn |= write_figures(run.figures, {"history": (figures.plot_history(history), history, title)})
    if recipe.get("train_on_val"):  # no image was left to pick an epoch by
        return found
    values = history[monitor]
    best = history.loc[values.idxmin() if monitor.endswith("loss") else values.idxmax()]
    return {**found, "best": {"epoch": int(best["epoch"]) + 1, "of": len(history), "monitor": monitor}}


def _gallery(found: EvaluatedRun, images: RunImages) -> dict[str, Any] | None:
    """Return the rows to show of both kinds with the thumbnails that could be read."""
    if found.predictions is None:
        return None
    run, part, dataset = found.folder, found.part, images.dataset
    table = misclassified_table(found.predictions)
    write_text(run.figures / f"misclassified-{part}.csv", table.to_csv(index=False, lineterminator="\n"))
    kinds = surest_mistakes(table)
    shown = {kind: rows.head(SHOWN_EACH) for kind, rows in kinds.items()}
    paths = dict(zip(dataset.table["image_id"], dataset.paths, strict=True)) if dataset else {}
    ids = [image_id for rows in shown.values() for image_id in rows["image_id"]]
    return {
        "rows": {kind: rows.to_dict("records") for kind, rows in shown.items()},
        "count": {kind: len(rows) for kind, rows in kinds.items()},
        "images": thumbnails(ids, paths),
        "maps": overlays(run, part, ids),
        "table": f"figures/misclassified-{part}.csv",
    }


def _subgroups(found: EvaluatedRun, images: RunImages) -> list[dict[str, Any]]:
    """Return the scores of subgroups of the table, where the evaluation has none."""
    if found.sample is None or images.dataset is None:
        return []
    known = images.dataset.table.set_index("image_id").loc[found.image_ids].reset_index()
    return evaluate_subgroups(*found.sample, known)


def misclassified_table(predictions: Predictions) -> pd.DataFrame:
    """Return every wrong image, missed melanomas first, the surest mistake at the top of each kind.

    Returns:
        Columns `image_id`, `true`, `predicted`, `confidence` (of the prediction) and `true_probability`.
    """
    if predictions.y_true is None:
        raise ValueError("Expected predictions with y_true but it is missing.")
    predicted, codes = predictions.y_prob.argmax(axis=1), np.asarray(CODES)
    table = pd.DataFrame(
        {
            "image_id": predictions.image_id,
            "true": codes[predictions.y_true],
            "predicted": codes[predicted],
            "confidence": predictions.y_prob.max(axis=1),
            "true_probability": predictions.y_prob[np.arange(len(predicted)), predictions.y_true],
        }
    )
    return pd.concat(surest_mistakes(table).values(), ignore_index=True)


def thumbnails(image_ids: Iterable[str], paths: dict[str, Path]) -> dict[str, str]:
    """Return small JPEGs as data addresses by image id, without those that cannot be read."""
    found = {}
    for image_id in image_ids:
        try:
            pixels = read_image(paths[image_id], THUMBNAIL)
        except (KeyError, ImageError):
            continue
        found[image_id] = jpeg_uri(pixels, quality=_JPEG_QUALITY)
    return found
