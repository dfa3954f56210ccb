"""What changed photographs cost: one figure, and the table that it is drawn from."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from lesionwise.evaluation.robustness import MAIN, Robustness
from lesionwise.page.palette import LIGHT
from lesionwise.page.theme import figure_style

_COLUMNS = 5


def robustness_table(found: Robustness) -> pd.DataFrame:
    """Return the loss of the main score by change and strength, with both intervals.

    Args:
        found: What was measured.
    """
    return pd.DataFrame(
        [
            {
                "change": row.name,
                "strength": row.strength,
                MAIN: row.scores[MAIN],
                "difference": row.differences[MAIN].value,
                "low": row.differences[MAIN].low,
                "high": row.differences[MAIN].high,
                "low_together": row.together.low,
                "high_together": row.together.high,
                "macro_auc_difference": row.differences["macro_auc"].value,
                "same_answer": row.same_answer,
            }
            for row in found.changed
        ]
    )


def plot_robustness(table: pd.DataFrame) -> Figure:
    """Draw the loss at each strength, a panel for each change; filled where it is beyond chance.

    Args:
        table: As `robustness_table` returns it.
    """
    names = list(dict.fromkeys(table["change"]))
    rows = -(-len(names) // _COLUMNS)
    with figure_style():
        figure = Figure(figsize=(9.6, 2.35 * rows))
        panels = np.ravel(figure.subplots(rows, _COLUMNS, sharex=True, sharey=True, squeeze=False))
        for axes, name in zip(panels, names, strict=False):
            lines = table[table["change"] == name]
            axes.axhline(0, color=LIGHT["quiet"], lw=1, ls=(0, (4, 3)))
            axes.plot([0, *lines["strength"]], [0, *lines["difference"]], color=LIGHT["accent"], lw=1)
            for _, line in lines.iterrows():
                beyond = line["high_together"] < 0
                color = LIGHT["alert"] if beyond else LIGHT["accent"]
                at = [line["strength"]] * 2
                axes.plot(at, [line["low"], line["high"]], color=color, lw=2.4, alpha=0.5)
                face = color if beyond else LIGHT["ground"]
                axes.plot(at[0], line["difference"], "o" if beyond else "s", color=color, mfc=face, ms=5.5)
            axes.set(title=name, xlim=(-0.3, 3.4))
            axes.set_xticks([0, 1, 2, 3])
        for axes in panels[len(names) :]:
            axes.set_axis_off()
        for axes in panels[::_COLUMNS]:
            axes.set_ylabel("change of the score")
        for axes in panels[-_COLUMNS:]:
            axes.set_xlabel("strength")
    return figure
