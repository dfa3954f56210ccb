"""Figures over all thresholds: ROC, precision and recall, reliability.

Here: drawing. Not here: the tables (`lesionwise.evaluation.scores.curves`) and the look (`lesionwise.page`).
"""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lesionwise.evaluation.scores.evaluate import Evaluation
from lesionwise.labels import CODES
from lesionwise.page.palette import DIAGNOSIS_COLORS, LIGHT
from lesionwise.page.theme import figure_style

_CHANCE: dict[str, Any] = {"color": LIGHT["quiet"], "lw": 1, "ls": (0, (4, 3))}
_BAND_ALPHA = 0.22
_UNDEFINED = "not defined here"


def plot_roc(table: pd.DataFrame, evaluation: Evaluation) -> Figure:
    """Draw the ROC curve of each diagnosis in a panel of its own, with its band and its area.

    Args:
        table: As `curves.roc_table` returns it.
        evaluation: For the areas.
    """
    with figure_style():
        figure, panels = _panels("false positive rate", "sensitivity", "no better than chance")
        for axes, code in zip(panels, CODES, strict=True):
            axes.plot([0, 1], [0, 1], **_CHANCE)
            curve = table[table["diagnosis"] == code]
            _banded(axes, curve, "false_positive_rate", "sensitivity", code)
            area = evaluation.per_class[code].get("auc")
            _note(axes, f"AUC {area.value:.2f}" if area else _UNDEFINED, at=0.08)
    return figure


def plot_precision_recall(table: pd.DataFrame, evaluation: Evaluation) -> Figure:
    """Draw precision at each recall of each diagnosis in a panel of its own, with its band.

    Args:
        table: As `curves.precision_recall_table` returns it.
        evaluation: For average precisions and prevalences.
    """
    with figure_style():
        figure, panels = _panels("recall", "precision", "how common it is")
        for axes, code in zip(panels, CODES, strict=True):
            prevalence = evaluation.support[code] / evaluation.images
            axes.axhline(prevalence, **_CHANCE)
            curve = table[table["diagnosis"] == code]
            _banded(axes, curve, "recall", "precision", code)
            average = evaluation.per_class[code].get("average_precision")
            low = average is not None and prevalence > average.value / 2
            _note(axes, f"AP {average.value:.2f}" if average else _UNDEFINED, at=0.08 if low else 0.9)
    return figure


def plot_reliability(table: pd.DataFrame, before: pd.DataFrame | None = None) -> Figure:
    """Draw accuracy against confidence, with the line on which they agree.

    Args:
        table: As `curves.reliability_table` returns it.
        before: The same before calibration; drawn as rings.
    """
    with figure_style():
        figure = Figure(figsize=(4.6, 4.3))
        axes = figure.subplots()
        axes.plot([0, 1], [0, 1], **_CHANCE)
        axes.vlines(
            table["confidence"], table["low"], table["high"], color=LIGHT["accent"], lw=2.4, alpha=0.5
        )
        axes.plot(table["confidence"], table["accuracy"], "o", color=LIGHT["accent"], ms=5.5)
        if before is not None:
            axes.plot(before["confidence"], before["accuracy"], "o", mfc="none", color=LIGHT["quiet"], ms=5.5)
        axes.text(0.04, 0.96, "too modest", color=LIGHT["quiet"], va="top", fontsize=9)
        axes.text(0.96, 0.04, "too sure", color=LIGHT["quiet"], ha="right", fontsize=9)
        axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
        axes.set(xlabel="confidence that the model states", ylabel="part that is right")
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
    key.plot([0.02, 0.22], [0.38, 0.38], **_CHANCE)
    for height, meaning in ((0.72, "this sample"), (0.55, "95 % band"), (0.38, chance)):
        key.text(0.3, height, meaning, va="center", fontsize=9, color=LIGHT["quiet"])
    return figure, panels


def _banded(axes: Axes, curve: pd.DataFrame, x: str, y: str, code: str) -> None:
    color = DIAGNOSIS_COLORS[code]
    axes.fill_between(curve[x], curve["low"], curve["high"], color=color, alpha=_BAND_ALPHA, lw=0)
    axes.plot(curve[x], curve[y], color=color)
    axes.set_title(code)


def _note(axes: Axes, text: str, *, at: float) -> None:
    axes.text(0.96, at, text, ha="right", va="center", fontsize=9.5, color=LIGHT["ink"])
