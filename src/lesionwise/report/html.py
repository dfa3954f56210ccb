"""`report.html`: what was done, on which data, what came out, and how to do it again.

Here: gathering the files of a run into one page. Not here: computing a score, drawing a figure.
"""

import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup
from numpy.typing import NDArray

from lesionwise.data.dataset import Dataset, read_dataset
from lesionwise.errors import LesionwiseError, RunError
from lesionwise.evaluation.predictions import Predictions
from lesionwise.evaluation.runs.predictions import raw_probabilities, read_run_predictions, run_calibration
from lesionwise.evaluation.runs.scores import read_check
from lesionwise.evaluation.scores.curves import precision_recall_table, reliability_table, roc_table
from lesionwise.evaluation.scores.evaluate import LOSSES, Evaluation
from lesionwise.evaluation.scores.gaps import describe_gaps
from lesionwise.evaluation.scores.subgroups import TITLES, evaluate_subgroups
from lesionwise.files import read_json, write_text
from lesionwise.labels import NAMES
from lesionwise.page.figure_file import write_figure
from lesionwise.page.shell import render_page
from lesionwise.report import curve_figures, figures, summary
from lesionwise.report.confidence import confidence_drawings, confidence_facts
from lesionwise.report.gallery import MELANOMAS, OTHERS, misclassified_table, thumbnails
from lesionwise.report.trust import explanation_facts, overlays, robustness_facts
from lesionwise.run_folder import RunFolder


def write_report(run: RunFolder) -> Path:
    """Write figures, their tables and `report.html` of a run, and return the path of the page.

    A folder that `evaluate CSV --out` made has scores but no recipe: its page leaves out the training.

    Raises:
        RunError: If the run was not evaluated yet.
    """
    if not run.scores.is_file():
        raise RunError(f'{run.path}: was not evaluated yet. Run "lesionwise evaluate {run.path}".')
    scores = read_json(run.scores)
    evaluations = {name: Evaluation.from_json(value) for name, value in scores["parts"].items()}
    part = summary.headline_part(evaluations)
    evaluation = evaluations[part]
    predictions = read_run_predictions(run, part) if run.predictions(part).is_file() else None
    check, calibration = read_check(run, part), run_calibration(run)
    data = _optional_json(run.data)
    dataset = _dataset(data)
    drawn = _score_figures(run, part, evaluation)
    reliability = None
    if predictions is not None:
        reliability = reliability_table(*_sample(predictions))
        drawn |= _curve_figures(run, part, predictions, evaluation)
        drawn |= _confidence_figures(run, part, predictions, reliability)
    page = render_page(
        "lesionwise.report",
        "report.html",
        name=run.path.resolve().name,
        part=part,
        evaluation=evaluation,
        evaluations=evaluations,
        sentences=summary.main_sentences(evaluation, reliability),
        warning=summary.audit_sentence(evaluation),
        losses=LOSSES,
        diagnoses=NAMES,
        figures=drawn,
        confidence=confidence_facts(check, calibration),
        subgroups=evaluation.subgroups or _subgroups(predictions, dataset),
        gap_sentences=describe_gaps(evaluation.gaps),
        subgroup_titles=TITLES,
        explanation=explanation_facts(run, part, drawn),
        robustness=robustness_facts(run, part, drawn),
        gallery=_gallery(run, part, predictions, dataset),
        source=scores.get("source"),
        seen=scores.get("seen"),
        data=data,
        split=_optional_json(run.split_facts),
        environment=_optional_json(run.environment),
        timing=_optional_json(run.timing),
        **_training(run, drawn),
    )
    write_text(run.report, page)
    return run.report


def _score_figures(run: RunFolder, part: str, evaluation: Evaluation) -> dict[str, Markup]:
    counts, shares = figures.confusion_table(evaluation), figures.confusion_share_table(evaluation)
    wrong, by_class = figures.wrong_table(evaluation), figures.class_score_table(evaluation)
    drawings = {
        "confusion": (figures.plot_confusion(counts), counts.reset_index(), "Confusion matrix, counts"),
        "confusion-rows": (figures.plot_confusion(shares), shares.reset_index(),
                           "Confusion matrix, parts of each true diagnosis"),
        "wrong": (figures.plot_wrong(wrong), wrong, "Part of the images of each diagnosis that is wrong"),
        "class-scores": (figures.plot_class_scores(by_class), by_class,
                         "Recall, precision, F1 and AUC of each diagnosis with intervals"),
    }  # fmt: skip
    return {name: write_figure(run.figures, f"{name}-{part}", *drawing) for name, drawing in drawings.items()}


def _curve_figures(
    run: RunFolder, part: str, predictions: Predictions, evaluation: Evaluation
) -> dict[str, Markup]:
    sample = _sample(predictions)
    roc, precision = roc_table(*sample), precision_recall_table(*sample)
    drawings = {
        "roc": (curve_figures.plot_roc(roc, evaluation), roc, "ROC curve of each diagnosis against the rest"),
        "precision-recall": (curve_figures.plot_precision_recall(precision, evaluation), precision,
                             "Precision at each recall of each diagnosis"),
    }  # fmt: skip
    return {name: write_figure(run.figures, f"{name}-{part}", *drawing) for name, drawing in drawings.items()}


def _confidence_figures(
    run: RunFolder, part: str, predictions: Predictions, reliability: pd.DataFrame
) -> dict[str, Markup]:
    check, calibration = read_check(run, part), run_calibration(run)
    drawings = confidence_drawings(
        _sample(predictions),
        reliability,
        raw_prob=raw_probabilities(predictions, run.predictions(part)) if calibration else None,
        check=check,
        calibration=calibration,
    )
    return {name: write_figure(run.figures, f"{name}-{part}", *drawing) for name, drawing in drawings.items()}


def _training(run: RunFolder, drawn: dict[str, Markup]) -> dict[str, Any]:
    """Return recipe, best epoch and members, and draw the history; a folder without a recipe has none."""
    found: dict[str, Any] = {"recipe": None, "best": None, "members": []}
    if not run.config.is_file():
        return found
    recipe = tomllib.loads(run.config.read_text(encoding="utf-8"))
    if "model" not in recipe:  # an ensemble names its members instead
        return {**found, "members": [Path(member).name for member in recipe.get("ensemble", [])]}
    if not run.history.is_file():
        return {**found, "recipe": recipe}
    history, monitor = pd.read_csv(run.history), recipe["monitor"]
    title = "Loss, accuracy and learning rate by epoch"
    drawn["history"] = write_figure(run.figures, "history", figures.plot_history(history), history, title)
    if recipe.get("train_on_val"):  # no image was left to pick an epoch by
        return {**found, "recipe": recipe}
    values = history[monitor]
    best = history.loc[values.idxmin() if monitor.endswith("loss") else values.idxmax()]
    return {
        **found,
        "recipe": recipe,
        "best": {"epoch": int(best["epoch"]) + 1, "of": len(history), "monitor": monitor},
    }


def _gallery(
    run: RunFolder, part: str, predictions: Predictions | None, dataset: Dataset | None
) -> dict[str, Any] | None:
    """Return the rows to show of both kinds with the thumbnails that could be read."""
    if predictions is None:
        return None
    table = misclassified_table(predictions)
    write_text(run.figures / f"misclassified-{part}.csv", table.to_csv(index=False, lineterminator="\n"))
    melanoma = table["true"] == "mel"
    kinds = {"melanomas": table[melanoma], "others": table[~melanoma]}
    shown = {"melanomas": kinds["melanomas"].head(MELANOMAS), "others": kinds["others"].head(OTHERS)}
    paths = dict(zip(dataset.table["image_id"], dataset.paths, strict=True)) if dataset else {}
    ids = [image_id for rows in shown.values() for image_id in rows["image_id"]]
    return {
        "rows": {kind: rows.to_dict("records") for kind, rows in shown.items()},
        "count": {kind: len(rows) for kind, rows in kinds.items()},
        "images": thumbnails(ids, paths),
        "maps": overlays(run, part, ids),
        "table": f"figures/misclassified-{part}.csv",
    }


def _subgroups(predictions: Predictions | None, dataset: Dataset | None) -> list[dict[str, Any]]:
    if predictions is None or dataset is None:
        return []
    known = dataset.table.set_index("image_id")
    if not set(predictions.image_id.tolist()) <= set(known.index):
        return []
    rows = known.loc[predictions.image_id.tolist()].reset_index()
    return evaluate_subgroups(*_sample(predictions), rows)


def _dataset(data: dict[str, Any] | None) -> Dataset | None:
    """Return the run's data if it is still where it was."""
    try:
        return read_dataset(data["folder"]) if data else None
    except LesionwiseError:
        return None


def _sample(predictions: Predictions) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.str_]]:
    """Return truth, probabilities and lesions; each image is its own where no lesion is known."""
    if predictions.y_true is None:
        raise RunError("Expected predictions with y_true but it is missing.")
    groups = predictions.image_id if predictions.group is None else predictions.group
    return predictions.y_true, predictions.y_prob, groups


def _optional_json(path: Path) -> dict[str, Any] | None:
    return dict(read_json(path)) if path.is_file() else None
