"""Figures of what probabilities are good for: promised sets, acting on a threshold, answering only when sure.

Here: drawing. Not here: the tables (`set_coverage`, `decision_curve`, `selective` in `lesionwise.evaluation`)
and the look (`lesionwise.page`).
"""

from typing import Any, Final

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from lesionwise.evaluation.calibration.set_coverage import ALL
from lesionwise.page.palette import DIAGNOSIS_COLORS, LIGHT
from lesionwise.page.theme import figure_style

QUESTIONS: Final = {"melanoma": "melanoma or not", "malignant": "malignant (akiec, bcc, mel) or not"}
_DASHED: Final[dict[str, Any]] = {"color": LIGHT["quiet"], "lw": 1, "ls": (0, (4, 3))}
_BAND_ALPHA: Final = 0.22


def plot_coverage(table: pd.DataFrame, promised: float) -> Figure:
    """Draw the coverage of each diagnosis on the range that a promise just kept shows.

    Args:
        table: As `set_coverage.set_coverage_table` returns it.
        promised: What the sets promise.
    """
    with figure_style():
        figure = Figure(figsize=(5.6, 0.5 + 0.36 * len(table)))
        axes = figure.subplots()
        axes.grid(visible=False, axis="y")
        axes.axvline(promised, **_DASHED)
        for row, found in enumerate(table.to_dict("records")):
            code = found["diagnosis"]
            color = DIAGNOSIS_COLORS.get(code, LIGHT["ink"])
            axes.plot([found["low"], found["high"]], [row, row], color=color, lw=7, alpha=_BAND_ALPHA,
                      solid_capstyle="butt")  # fmt: skip
            axes.plot(found["coverage"], row, "o", color=color, ms=6.5)
            counts = f"{found['covered']} of {found['lesions']}"
            axes.text(1.03, row, counts, va="center", fontsize=9, color=LIGHT["quiet"])
        names = ["all together" if code == ALL else code for code in table["diagnosis"]]
        axes.set_yticks(range(len(table)), names)
        least = min(0.5, float(table[["low", "coverage"]].min().min()) - 0.03)
        axes.set(xlim=(least, 1.01), ylim=(len(table) - 0.5, -0.5))
        axes.set_xlabel("lesions whose sets hold their diagnosis")
        axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        axes.tick_params(axis="y", length=0, labelcolor=LIGHT["ink"])
    return figure


def plot_decision_curve(table: pd.DataFrame) -> Figure:
    """Draw the net benefit of the model beside that of acting on everybody and on nobody.

    Args:
        table: As `decision_curve.decision_curve_table` returns it.
    """
    with figure_style():
        figure = Figure(figsize=(9.6, 3.4))
        panels = figure.subplots(1, len(QUESTIONS))
        for axes, (question, title) in zip(panels, QUESTIONS.items(), strict=True):
            curve = table[table["question"] == question]
            color = DIAGNOSIS_COLORS["mel"] if question == "melanoma" else LIGHT["accent"]
            axes.axhline(0, color=LIGHT["line"], lw=1)
            axes.plot(curve["threshold"], curve["everybody"], **_DASHED)
            axes.fill_between(
                curve["threshold"], curve["low"], curve["high"], color=color, alpha=_BAND_ALPHA, lw=0
            )
            axes.plot(curve["threshold"], curve["net_benefit"], color=color)
            top = max(float(curve[["high", "everybody"]].max().max()), 0.01)  # nobody to act on: no benefit
            axes.set(title=title, xlim=(0, 0.6), ylim=(-0.25 * top, 1.1 * top))
            axes.set_xlabel("threshold: act from this probability on")
            axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
            _name_lines(axes, curve, top)
        panels[0].set_ylabel("net benefit per image")
    return figure


def plot_risk_coverage(table: pd.DataFrame) -> Figure:
    """Draw the error among the images that are answered against how many are.

    Args:
        table: As `selective.risk_coverage_table` returns it.
    """
    with figure_style():
        figure = Figure(figsize=(5.6, 3.4))
        axes = figure.subplots()
        everything = float(table["error"].iloc[-1])
        axes.axhline(everything, **_DASHED)
        axes.text(
            0.02, everything, "dropping images at random", va="bottom", fontsize=9, color=LIGHT["quiet"]
        )
        axes.fill_between(
            table["answered"], table["low"], table["high"], color=LIGHT["accent"], alpha=_BAND_ALPHA, lw=0
        )
        axes.plot(table["answered"], table["error"], color=LIGHT["accent"])
        axes.set(xlim=(0, 1), ylim=(0, 1.25 * max(everything, float(table["high"].max()), 0.02)))
        axes.set(xlabel="images answered, the surest first", ylabel="answers that are wrong")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(PercentFormatter(1, decimals=0))
    return figure


def _name_lines(axes: Axes, curve: pd.DataFrame, top: float) -> None:
    """Write at the two lines of comparison what they are."""
    falling = curve[curve["everybody"] < 0.25 * top]
    at = falling.iloc[0] if len(falling) else curve.iloc[-1]
    axes.text(
        at["threshold"] + 0.01, at["everybody"], "everybody", fontsize=9, color=LIGHT["quiet"], va="top"
    )
    axes.text(0.595, -0.02 * top, "nobody", fontsize=9, color=LIGHT["quiet"], va="top", ha="right")
