"""Figures of the tests of the maps, each with its table."""

from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from markupsafe import Markup
from matplotlib.figure import Figure

from lesionwise.explain.record import MODES, Explanation
from lesionwise.page.palette import LIGHT
from lesionwise.page.theme import figure_style, write_figure

_ORDERS: Final = {
    "own": ("the map's order", "accent", "-", "o"),
    "other": ("another image's map", "quiet", (0, (4, 2)), "s"),
    "random": ("random order", "quiet", (0, (1, 2)), "^"),
}
_TITLES: Final = {"deletion": "Painted over", "insertion": "Restored"}


def explanation_figures(folder: Path, part: str, explanation: Explanation) -> dict[str, Markup]:
    """Write both figures with their tables, and return the drawings by name."""
    curves, cascade = curve_table(explanation), cascade_table(explanation)
    return {
        "explanation-curves": write_figure(
            folder, f"explanation-curves-{part}", plot_curves(curves), curves,
            "Probability of the explained diagnosis as places are painted over or restored",
        ),
        "explanation-cascade": write_figure(
            folder, f"explanation-cascade-{part}", plot_cascade(cascade), cascade,
            "Similarity of maps to those of the trained network as layers are shuffled",
        ),
    }  # fmt: skip


def curve_table(explanation: Explanation) -> pd.DataFrame:
    """Return the mean probability of the explained class at each step of each mode and order."""
    rows = []
    for name, curve in explanation.curves.items():
        mode, order = name.split("-")
        for part, value in zip(np.linspace(0, 1, len(curve)).tolist(), curve, strict=True):
            rows.append({"mode": mode, "order": order, "part": part, "probability": value})
    return pd.DataFrame(rows)


def plot_curves(table: pd.DataFrame) -> Figure:
    """Draw deletion and insertion side by side, a line for each order."""
    with figure_style():
        figure = Figure(figsize=(9.0, 3.3))
        panels = figure.subplots(1, len(MODES), sharey=True)
        for axes, mode in zip(panels, MODES, strict=True):
            for order, (label, color, style, marker) in _ORDERS.items():
                line = table[(table["mode"] == mode) & (table["order"] == order)]
                look: dict[str, Any] = {"color": LIGHT[color], "ls": style, "marker": marker, "ms": 4}
                axes.plot(line["part"], line["probability"], label=label, **look)
            axes.set(title=_TITLES[mode], xlabel="part of the view", xlim=(-0.02, 1.02))
        top = max(0.6, float(table["probability"].max()) * 1.05)
        panels[0].set(ylabel="certainty of the answer", ylim=(0, min(1, top)))
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper left", ncols=len(labels), fontsize=9)
    return figure


def cascade_table(explanation: Explanation) -> pd.DataFrame:
    """Return the similarity after each stage of shuffling, with its interval."""
    return pd.DataFrame(
        [{"shuffled": stage["layers"], **vars(stage["similarity"])} for stage in explanation.cascade]
    )


def plot_cascade(table: pd.DataFrame) -> Figure:
    """Draw the similarity after each stage as a point with its interval."""
    with figure_style():
        figure = Figure(figsize=(6.4, 0.9 + 0.34 * len(table)))
        axes = figure.subplots()
        axes.axvline(0, color=LIGHT["quiet"], lw=1, ls=(0, (4, 3)))
        for row, (_, stage) in enumerate(table.iterrows()):
            axes.plot([stage["low"], stage["high"]], [row, row], color=LIGHT["accent"], lw=2.4, alpha=0.5)
            axes.plot(stage["value"], row, "o", color=LIGHT["accent"], ms=5.5)
        axes.set_yticks(range(len(table)), table["shuffled"])
        axes.tick_params(axis="y", length=0, labelcolor=LIGHT["ink"])
        axes.set(ylim=(len(table) - 0.5, -0.5), xlim=(min(-0.3, float(table["low"].min()) - 0.05), 1.02))
        axes.set(xlabel="rank correlation with the trained network's map", ylabel="shuffled")
    return figure
