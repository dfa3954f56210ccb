"""How often answers stay the same when pictures hardly change: one figure, and the table that it shows."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from lesionwise.evaluation.stability import ASPECTS, Stability
from lesionwise.page.palette import LIGHT
from lesionwise.page.theme import figure_style

_MARKS = {"top": ("accent", "o"), "decision": ("quiet", "s"), "melanoma": ("alert", "D")}


def stability_table(found: Stability) -> pd.DataFrame:
    """Return the share of the images that stay the same, by change and by what stays.

    Args:
        found: What was measured.
    """
    return pd.DataFrame(
        [
            {
                "change": change,
                "what": ASPECTS[aspect],
                "same": share.value,
                "low": share.low,
                "high": share.high,
            }
            for change, kept in found.changes.items()
            for aspect, share in kept.shares.items()
        ]
    )


def plot_stability(table: pd.DataFrame) -> Figure:
    """Draw the share of the images that each change leaves as they are, a row for each change.

    Args:
        table: As `stability_table` returns it.
    """
    changes = list(dict.fromkeys(table["change"]))
    with figure_style():
        figure = Figure(figsize=(7.2, 0.9 + 0.36 * len(changes)))
        axes = figure.subplots()
        for offset, (aspect, title) in enumerate(ASPECTS.items()):
            rows = table[table["what"] == title]
            colour, mark = _MARKS[aspect]
            heights = np.array([changes.index(change) for change in rows["change"]]) + 0.24 * (offset - 1)
            axes.hlines(heights, rows["low"], rows["high"], color=LIGHT[colour], lw=2, alpha=0.5)
            axes.plot(rows["same"], heights, mark, color=LIGHT[colour], ms=4.5, label=title)
        axes.set_yticks(range(len(changes)), changes)
        axes.set(xlim=(None, 1.002), xlabel="share of the images that stay the same")
        axes.invert_yaxis()
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3)
    return figure
