"""Figures of scores and training, each drawn from a table that is written beside it.

`x_table` makes the numbers, and `plot_x` draws what `x_table` returns. Not here: curves over thresholds
(`curve_figures`), photographs (`html`) and the look (`lesionwise.page`).
"""

from typing import Any, Final

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from lesionwise.evaluation.scores.evaluate import Evaluation
from lesionwise.labels import CODES
from lesionwise.page.palette import DIAGNOSIS_COLORS, LIGHT
from lesionwise.page.theme import figure_style, name_rows, shade_cells

CLASS_SCORES: Final = {"recall": "Recall", "precision": "Precision", "f1": "F1", "auc": "AUC"}
_MARKERS: Final = ("o", "s", "^")  # with the colour, what tells lines apart


def plot_history(history: pd.DataFrame) -> Figure:
    """Draw loss, accuracy and learning rate by epoch."""
    with figure_style():
        figure = Figure(figsize=(9.6, 2.9))
        loss, accuracy, rate = figure.subplots(1, 3)
        _lines(loss, history, {"train_loss": "train", "val_loss": "val"}, "Loss")
        columns = {"train_accuracy": "train", "val_accuracy": "val", "val_balanced_accuracy": "val, balanced"}
        _lines(accuracy, history, columns, "Accuracy")
        _lines(rate, history, {"lr": ""}, "Learning rate")
        rate.set_yscale("log")
    return figure


def confusion_table(evaluation: Evaluation) -> pd.DataFrame:
    """Return the counts with true diagnoses as rows and predicted ones as columns."""
    return pd.DataFrame(evaluation.confusion, index=pd.Index(CODES, name="true"), columns=list(CODES))


def confusion_share_table(evaluation: Evaluation) -> pd.DataFrame:
    """Return each count as its part of the row: the diagonal holds the recalls."""
    counts = confusion_table(evaluation)
    return counts.div(counts.sum(axis=1).clip(lower=1), axis=0)


def plot_confusion(table: pd.DataFrame) -> Figure:
    """Draw counts, or parts of rows, shaded by part of the row, so that rare diagnoses show too."""
    values = table.to_numpy(float)
    shares = values / np.maximum(values.sum(axis=1, keepdims=True), 1e-9)
    counts = table.to_numpy().dtype.kind == "i"
    with figure_style():
        figure = Figure(figsize=(4.9, 4.5))
        axes = figure.subplots()
        shade_cells(axes, shares, [[f"{value:.{0 if counts else 2}f}" for value in row] for row in values])
        axes.set_xticks(range(len(CODES)), table.columns)
        axes.set_yticks(range(len(CODES)), table.index)
        axes.set(xlabel="the model said", ylabel="truth", aspect="equal")
    return figure


def wrong_table(evaluation: Evaluation) -> pd.DataFrame:
    """Return, for each diagnosis that has images, how many were called something else, and the fraction."""
    counts, present = confusion_table(evaluation), evaluation.diagnoses
    recall = [evaluation.per_class[code]["recall"] for code in present]
    images = np.array([evaluation.support[code] for code in present])
    right = np.array([counts.loc[code, code] for code in present])
    return pd.DataFrame(
        {
            "diagnosis": present,
            "images": images,
            "wrong": images - right,
            "fraction": [1 - estimate.value for estimate in recall],
            "low": [1 - estimate.high for estimate in recall],
            "high": [1 - estimate.low for estimate in recall],
        }
    )


def plot_wrong(table: pd.DataFrame) -> Figure:
    """Draw the wrong fraction of each diagnosis as a bar with its interval."""
    with figure_style():
        figure = Figure(figsize=(5.6, 3.2))
        axes = figure.subplots()
        name_rows(axes, list(table["diagnosis"]))
        for row, (code, images, wrong, fraction, low, high) in enumerate(table.itertuples(index=False)):
            axes.barh(row, fraction, height=0.62, color=DIAGNOSIS_COLORS[code], alpha=0.85)
            axes.plot([low, high], [row, row], color=LIGHT["ink"], lw=1.2, solid_capstyle="butt")
            axes.text(1.03, row, f"{wrong:,} of {images:,}", va="center", color=LIGHT["quiet"], fontsize=9)
        axes.set(xlim=(0, 1), xlabel="images called something else")
        axes.xaxis.set_major_formatter(PercentFormatter(1))
    return figure


def class_score_table(evaluation: Evaluation) -> pd.DataFrame:
    """Return every score of every diagnosis with its interval, a row for each."""
    rows = [
        {"diagnosis": code, "score": name, **vars(estimate)}
        for code, estimates in evaluation.per_class.items()
        for name, estimate in estimates.items()
    ]
    return pd.DataFrame(rows)


def plot_class_scores(table: pd.DataFrame) -> Figure:
    """Draw four scores of each diagnosis as points with intervals, side by side."""
    with figure_style():
        figure = Figure(figsize=(9.6, 3.1))
        panels = figure.subplots(1, len(CLASS_SCORES), sharey=True)
        for axes, (name, title) in zip(panels, CLASS_SCORES.items(), strict=True):
            scores = table[table["score"] == name].set_index("diagnosis").reindex(list(CODES))
            for row, (code, score) in enumerate(scores.iterrows()):
                color = DIAGNOSIS_COLORS[str(code)]
                axes.plot([score["low"], score["high"]], [row, row], color=color, lw=2.4, alpha=0.55)
                axes.plot(score["value"], row, "o", color=color, ms=6)
            axes.set(title=title, xlim=(-0.02, 1.02), ylim=(len(CODES) - 0.5, -0.5))
            axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "", "0.5", "", "1"])
        panels[0].set_yticks(range(len(CODES)), CODES)
        for axes in panels:
            axes.tick_params(axis="y", length=0, labelcolor=LIGHT["ink"])
            axes.spines["left"].set_visible(False)
    return figure


def _lines(axes: Axes, history: pd.DataFrame, columns: dict[str, str], title: str) -> None:
    marked: dict[str, Any] = {"ms": 3.5, "markevery": max(1, len(history) // 12)}
    for (column, label), color, marker in zip(
        columns.items(), ("quiet", "accent", "alert"), _MARKERS, strict=False
    ):
        if history[column].isna().all():  # of val, where it was trained on
            continue
        axes.plot(
            history["epoch"] + 1, history[column], color=LIGHT[color], label=label, marker=marker, **marked
        )
    axes.set(title=title, xlabel="epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
    if any(columns.values()):
        axes.legend(fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=len(columns))
