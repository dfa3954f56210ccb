"""Figures of scores, curves and training, each drawn from a table that is written beside it.

`x_table` makes the numbers, and `plot_x` draws what `x_table` returns. Not here: the tables of curves
(`lesionwise.evaluation`), photographs (`html`) and the look (`lesionwise.page`).
"""

from typing import Any, Final

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, PercentFormatter

from lesionwise.evaluation.calibration.conformal import ALL
from lesionwise.evaluation.scores.evaluate import Evaluation
from lesionwise.labels import CODES
from lesionwise.page.palette import DIAGNOSIS_COLORS, LIGHT
from lesionwise.page.theme import DASHED, figure_style, name_rows, new_figure, shade_cells

CLASS_SCORES: Final = {"recall": "Recall", "precision": "Precision", "f1": "F1", "auc": "AUC"}
QUESTIONS: Final = {"melanoma": "melanoma or not", "malignant": "malignant (akiec, bcc, mel) or not"}
_BAND_ALPHA: Final = 0.22
_MARKERS: Final = ("o", "s", "^")  # with the colour, what tells lines apart


def plot_history(history: pd.DataFrame) -> Figure:
    """Draw loss, accuracy and learning rate by epoch."""
    with new_figure(9.6, 2.9, 1, 3) as (figure, (loss, accuracy, rate)):
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
    with new_figure(4.9, 4.5) as (figure, axes):
        shade_cells(axes, shares, [[f"{value:.{0 if counts else 2}f}" for value in row] for row in values])
        axes.set_xticks(range(len(CODES)), table.columns)
        axes.set_yticks(range(len(CODES)), table.index)
        axes.set(xlabel="answer of the model", ylabel="truth", aspect="equal")
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
    with new_figure(5.6, 3.2) as (figure, axes):
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
    with new_figure(9.6, 3.1, 1, len(CLASS_SCORES), sharey=True) as (figure, panels):
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
                axes.plot([0, 1], [0, 1], **DASHED)
            else:
                axes.axhline(evaluation.support[code] / evaluation.images, **DASHED)
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
    with new_figure(4.6, 4.3) as (figure, axes):
        axes.plot([0, 1], [0, 1], **DASHED)
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
    key.plot([0.02, 0.22], [0.38, 0.38], **DASHED)
    for height, meaning in ((0.72, "this sample"), (0.55, "95 % band"), (0.38, chance)):
        key.text(0.3, height, meaning, va="center", fontsize=9, color=LIGHT["quiet"])
    return figure, panels


def _draw_band(axes: Axes, curve: pd.DataFrame, x: str, y: str, color: str) -> None:
    axes.fill_between(curve[x], curve["low"], curve["high"], color=color, alpha=_BAND_ALPHA, lw=0)
    axes.plot(curve[x], curve[y], color=color)


def plot_coverage(table: pd.DataFrame, promised: float) -> Figure:
    """Draw the coverage of each diagnosis on the range that a promise just kept shows."""
    with new_figure(5.6, 0.5 + 0.36 * len(table)) as (figure, axes):
        name_rows(axes, ["all together" if code == ALL else code for code in table["diagnosis"]])
        axes.axvline(promised, **DASHED)
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
    with new_figure(9.6, 3.4, 1, len(QUESTIONS)) as (figure, panels):
        for axes, (question, title) in zip(panels, QUESTIONS.items(), strict=True):
            curve = table[table["question"] == question]
            color = DIAGNOSIS_COLORS["mel"] if question == "melanoma" else LIGHT["accent"]
            nobody = axes.axhline(0, color=LIGHT["line"], lw=2)
            (everybody,) = axes.plot(curve["threshold"], curve["everybody"], **DASHED)
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
    with new_figure(5.6, 3.4) as (figure, axes):
        everything = float(table["error"].iloc[-1])
        at_random = axes.axhline(everything, **DASHED)
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
