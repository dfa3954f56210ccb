"""Figures of a run, each drawn from a table that is written beside it.

Here: `x_table` makes the numbers, `plot_x` draws what it is given. Not here: the look (`lesionwise.page`).
"""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from lesionwise.evaluate.evaluation import Evaluation
from lesionwise.labels import CODES
from lesionwise.page.palette import LIGHT
from lesionwise.page.theme import SHADES, figure_style

_PALE_TEXT_ABOVE = 0.55  # of a full shade: where dark ink would no longer be legible


def plot_history(history: pd.DataFrame) -> Figure:
    """Draw loss, accuracy and learning rate by epoch.

    Args:
        history: The run's `history.csv`.
    """
    with figure_style():
        figure = Figure(figsize=(9.6, 2.9))
        loss, accuracy, rate = figure.subplots(1, 3)
        _lines(loss, history, {"train_loss": "train", "val_loss": "val"}, "Loss")
        columns = {"train_accuracy": "train accuracy", "val_accuracy": "val accuracy",
                   "val_balanced_accuracy": "val balanced accuracy"}  # fmt: skip
        _lines(accuracy, history, columns, "Accuracy")
        _lines(rate, history, {"lr": ""}, "Learning rate")
        rate.set_yscale("log")
    return figure


def confusion_table(evaluation: Evaluation) -> pd.DataFrame:
    """Return the counts with true diagnoses as rows and predicted ones as columns."""
    return pd.DataFrame(evaluation.confusion, index=pd.Index(CODES, name="true"), columns=list(CODES))


def plot_confusion(table: pd.DataFrame) -> Figure:
    """Draw counts in cells shaded by their part of the row, so that rare diagnoses show too.

    Args:
        table: As `confusion_table` returns it.
    """
    counts = table.to_numpy(float)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    with figure_style():
        figure = Figure(figsize=(6.2, 5.2))
        axes = figure.subplots()
        axes.grid(visible=False)
        axes.spines[:].set_visible(False)
        axes.imshow(shares, cmap=SHADES, vmin=0, vmax=1)
        axes.set_xticks(range(len(CODES)), table.columns)
        axes.set_yticks(range(len(CODES)), table.index)
        axes.tick_params(length=0)
        axes.set(xlabel="predicted", ylabel="true")
        for (row, column), share in np.ndenumerate(shares):
            ink = "#ffffff" if share > _PALE_TEXT_ABOVE else LIGHT["ink"]
            label = f"{counts[row, column]:.0f}\n{share:.0%}"
            axes.text(column, row, label, ha="center", va="center", color=ink, fontsize=8.5)
    return figure


def _lines(axes: Axes, history: pd.DataFrame, columns: dict[str, str], title: str) -> None:
    for (column, label), color in zip(columns.items(), ("quiet", "accent", "alert"), strict=False):
        axes.plot(history["epoch"] + 1, history[column], color=LIGHT[color], label=label)
    axes.set(title=title, xlabel="epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
    if any(columns.values()):
        axes.legend(fontsize=8)
