"""Figures of what probabilities are good for: curves over all thresholds, reliability, prediction sets."""

from typing import Any, Final

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import PercentFormatter

from lesionwise.evaluation.calibration.conformal import ALL
from lesionwise.evaluation.scores.evaluate import Evaluation
from lesionwise.labels import CODES
from lesionwise.page.palette import DIAGNOSIS_COLORS, LIGHT
from lesionwise.page.theme import figure_style, name_rows

QUESTIONS: Final = {"melanoma": "melanoma or not", "malignant": "malignant (akiec, bcc, mel) or not"}
_DASHED: Final[dict[str, Any]] = {"color": LIGHT["quiet"], "lw": 1, "ls": (0, (4, 3))}
_BAND_ALPHA: Final = 0.22


def plot_roc(table: pd.DataFrame, evaluation: Evaluation) -> Figure:
    """Draw the ROC curve of each diagnosis in a panel of its own, with its band and its area."""
    columns, chance = ("false_positive_rate", "sensitivity"), "no better than chance"
    return _plot_panels(table, evaluation, columns, score=("AUC", "auc"), chance=chance)


def plot_precision_recall(table: pd.DataFrame, evaluation: Evaluation) -> Figure:
    """Draw precision at each recall of each diagnosis in a panel of its own, with its band."""
    columns, chance = ("recall", "precision"), "how common it is"
    return _plot_panels(table, evaluation, columns, score=("AP", "average_precision"), chance=chance)


def _plot_panels(
    table: pd.DataFrame,
    evaluation: Evaluation,
    columns: tuple[str, str],
    *,
    score: tuple[str, str],
    chance: str,
) -> Figure:
    """Draw the curve of each diagnosis with its area, which is `score`: its short name, and its key."""
    x, y = columns
    with figure_style():
        figure, panels = _panels(x.replace("_", " "), y, chance)
        for axes, code in zip(panels, CODES, strict=True):
            if score[0] == "AUC":
                axes.plot([0, 1], [0, 1], **_DASHED)
            else:
                axes.axhline(evaluation.support[code] / evaluation.images, **_DASHED)
            axes.set_title(code)
            curve = table[table["diagnosis"] == code]
            if len(curve):  # one diagnosis alone has no curve
                _draw_band(axes, curve, x, y, DIAGNOSIS_COLORS[code])
            area = evaluation.per_class[code].get(score[1])
            shown = f"{score[0]} {area.value:.2f}" if area else "not defined here"
            axes.set_title(shown, loc="right", fontsize=9.5, color=LIGHT["quiet"])  # no curve comes there
    return figure


def plot_reliability(table: pd.DataFrame, before: pd.DataFrame | None = None) -> Figure:
    """Draw accuracy against confidence, that before calibration as rings, and where both agree."""
    with figure_style():
        figure = Figure(figsize=(4.6, 4.3))
        axes = figure.subplots()
        axes.plot([0, 1], [0, 1], **_DASHED)
        axes.vlines(
            table["confidence"], table["low"], table["high"], color=LIGHT["accent"], lw=2.4, alpha=0.5
        )
        axes.plot(table["confidence"], table["accuracy"], "o", color=LIGHT["accent"], ms=5.5)
        if before is not None:
            axes.plot(before["confidence"], before["accuracy"], "o", mfc="none", color=LIGHT["quiet"], ms=5.5)
        axes.text(-0.02, 1.04, "too modest", color=LIGHT["quiet"], va="bottom", fontsize=9)
        axes.text(1.04, -0.02, "too sure", color=LIGHT["quiet"], va="bottom", fontsize=9)
        axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")
        axes.set(xlabel="confidence that the model states", ylabel="share that is right")
    return figure


def _panels(x: str, y: str, chance: str) -> tuple[Figure, list[Axes]]:
    """Return seven square panels and, where the eighth would be, what the lines mean."""
    figure = Figure(figsize=(9.6, 5.3))
    grid = figure.subplots(2, 4, sharex=True, sharey=True)
    panels = list(np.ravel(grid))
    for axes in panels:
        axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")
        axes.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
        axes.set_yticks([0, 0.5, 1], ["0", "0.5", "1"])
    for axes in grid[:, 0]:
        axes.set_ylabel(y)
    for axes in (*grid[1, :3], grid[0, 3]):
        axes.set_xlabel(x)
        axes.tick_params(labelbottom=True)
    key = panels.pop()
    key.set_axis_off()
    key.plot([0.02, 0.22], [0.72, 0.72], color=LIGHT["ink"])
    key.fill_between([0.02, 0.22], 0.5, 0.6, color=LIGHT["ink"], alpha=_BAND_ALPHA, lw=0)
    key.plot([0.02, 0.22], [0.38, 0.38], **_DASHED)
    for height, meaning in ((0.72, "this sample"), (0.55, "95 % band"), (0.38, chance)):
        key.text(0.3, height, meaning, va="center", fontsize=9, color=LIGHT["quiet"])
    return figure, panels


def _draw_band(axes: Axes, curve: pd.DataFrame, x: str, y: str, color: str) -> None:
    axes.fill_between(curve[x], curve["low"], curve["high"], color=color, alpha=_BAND_ALPHA, lw=0)
    axes.plot(curve[x], curve[y], color=color)


def plot_coverage(table: pd.DataFrame, promised: float) -> Figure:
    """Draw the coverage of each diagnosis on the range that a promise just kept shows."""
    with figure_style():
        figure = Figure(figsize=(5.6, 0.5 + 0.36 * len(table)))
        axes = figure.subplots()
        name_rows(axes, ["all together" if code == ALL else code for code in table["diagnosis"]])
        axes.axvline(promised, **_DASHED)
        for row, found in enumerate(table.to_dict("records")):
            code = found["diagnosis"]
            color = DIAGNOSIS_COLORS.get(code, LIGHT["ink"])
            axes.plot([found["low"], found["high"]], [row, row], color=color, lw=7, alpha=_BAND_ALPHA,
                      solid_capstyle="butt")  # fmt: skip
            axes.plot(found["coverage"], row, "o", color=color, ms=6.5)
            counts = f"{found['covered']:,} of {found['lesions']:,}"
            axes.text(1.03, row, counts, va="center", fontsize=9, color=LIGHT["quiet"])
        least = min(0.5, float(table[["low", "coverage"]].min().min()) - 0.03)
        axes.set(xlim=(least, 1.01), xlabel="lesions whose sets hold their diagnosis")
        axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    return figure


def plot_decision_curve(table: pd.DataFrame) -> Figure:
    """Draw the net benefit of the model beside that of acting on everybody and on nobody."""
    with figure_style():
        figure = Figure(figsize=(9.6, 3.4))
        panels = figure.subplots(1, len(QUESTIONS))
        for axes, (question, title) in zip(panels, QUESTIONS.items(), strict=True):
            curve = table[table["question"] == question]
            color = DIAGNOSIS_COLORS["mel"] if question == "melanoma" else LIGHT["accent"]
            nobody = axes.axhline(0, color=LIGHT["line"], lw=2)
            (everybody,) = axes.plot(curve["threshold"], curve["everybody"], **_DASHED)
            _draw_band(axes, curve, "threshold", "net_benefit", color)
            top = max(float(curve[["high", "everybody"]].max().max()), 0.01)  # nobody to act on: no benefit
            axes.set(title=title, xlim=(0, 0.6), ylim=(-0.25 * top, 1.1 * top))
            axes.set_xlabel("threshold: act from this probability on")
            axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        panels[0].set_ylabel("net benefit per image")
        _name_above(figure, {"acting on everybody": everybody, "acting on nobody": nobody})
    return figure


def plot_risk_coverage(table: pd.DataFrame) -> Figure:
    """Draw the error among the images that are answered against how many are."""
    with figure_style():
        figure = Figure(figsize=(5.6, 3.4))
        axes = figure.subplots()
        everything = float(table["error"].iloc[-1])
        at_random = axes.axhline(everything, **_DASHED)
        _name_above(figure, {"dropping images at random": at_random})
        _draw_band(axes, table, "answered", "error", LIGHT["accent"])
        axes.set(xlim=(0, 1), ylim=(0, 1.25 * max(everything, float(table["high"].max()), 0.02)))
        axes.set(xlabel="images answered, the surest first", ylabel="answers that are wrong")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(PercentFormatter(1, decimals=0))
    return figure


def _name_above(figure: Figure, lines: dict[str, Line2D]) -> None:
    """Name lines above the panels, where they cross nothing."""
    figure.legend(lines.values(), lines.keys(), loc="outside upper left", ncols=len(lines), fontsize=9,
                  labelcolor=LIGHT["quiet"])  # fmt: skip
