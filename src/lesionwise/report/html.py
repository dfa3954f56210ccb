"""`report.html`: what was done, on which data, what came out, and how to do it again.

Here: gathering the files of a run into one page. Not here: computing a score, drawing a figure.
"""

import tomllib
from pathlib import Path
from typing import Any

import pandas as pd
from markupsafe import Markup
from matplotlib.figure import Figure

from lesionwise.evaluate.evaluation import Evaluation
from lesionwise.labels import NAMES
from lesionwise.page.shell import render_page
from lesionwise.page.theme import figure_svg
from lesionwise.report.figures import confusion_table, plot_confusion, plot_history
from lesionwise.run_folder import RunFolder, read_json, write_text


def write_report(run: RunFolder) -> Path:
    """Write figures, their tables and `report.html` of a run, and return the path of the page.

    Raises:
        RunError: If the run was not evaluated yet.
    """
    scores = read_json(run.scores)
    history = pd.read_csv(run.history)
    evaluations = {part: Evaluation.from_json(value) for part, value in scores["parts"].items()}
    figures = {
        "history": _figure(run, "history", plot_history(history), history, "Loss and accuracy by epoch")
    }
    for part, evaluation in evaluations.items():
        table = confusion_table(evaluation)
        name = f"confusion-{part}"
        figures[name] = _figure(
            run, name, plot_confusion(table), table.reset_index(), f"Confusion matrix, {part}"
        )
    page = render_page(
        "lesionwise.report",
        "report.html",
        name=run.path.name,
        recipe=tomllib.loads(run.config.read_text(encoding="utf-8")),
        data=read_json(run.data),
        split=read_json(run.split.with_suffix(".json")),
        environment=read_json(run.environment),
        timing=read_json(run.timing) if run.timing.exists() else {},
        best=_best_epoch(history, run),
        evaluations=evaluations,
        figures=figures,
        diagnoses=NAMES,
    )
    write_text(run.report, page)
    return run.report


def _figure(run: RunFolder, name: str, figure: Figure, table: pd.DataFrame, title: str) -> Markup:
    """Write a figure and its table, and return the drawing for the page."""
    svg = figure_svg(figure, title=title)
    write_text(run.figures / f"{name}.svg", svg)
    write_text(run.figures / f"{name}.csv", table.to_csv(index=False, lineterminator="\n"))
    return Markup(svg)  # noqa: S704 (our own drawing, which holds no text from outside)


def _best_epoch(history: pd.DataFrame, run: RunFolder) -> dict[str, Any]:
    monitor = tomllib.loads(run.config.read_text(encoding="utf-8"))["monitor"]
    values = history[monitor]
    best = history.loc[values.idxmin() if monitor.endswith("loss") else values.idxmax()]
    return {"epoch": int(best["epoch"]) + 1, "of": len(history), "monitor": monitor}
