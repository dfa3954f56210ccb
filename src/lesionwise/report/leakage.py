"""The page and the figure of a leakage measurement."""

from pathlib import Path
from typing import Any, Final

import pandas as pd
from markupsafe import Markup
from matplotlib.figure import Figure

from lesionwise.experiments.leakage import PROTOCOLS, TABLE
from lesionwise.files import read_json, write_text
from lesionwise.labels import LEAKY_STAMP
from lesionwise.page.palette import LIGHT
from lesionwise.page.shell import render_page
from lesionwise.page.theme import figure_svg, new_figure
from lesionwise.run_folder import RunFolder

_PANELS: Final = {"accuracy": "Accuracy", "balanced_accuracy": "Balanced accuracy"}
_MARKS: Final = {
    "own": ("o", "alert", "on its own test images", -0.13),
    "exam": ("s", "accent", "on lesions nobody saw", 0.13),
}
_TITLE: Final = "Scores of one recipe under four ways of splitting"


def write_leakage_page(folder: Path) -> Path:
    """Write `leakage.svg` and `leakage.html` of a finished measurement, and return the path of the page."""
    outcomes: list[dict[str, Any]] = read_json(RunFolder(folder).leakage)["outcomes"]
    svg = figure_svg(plot_leakage(leakage_table(folder)), name="leakage", title=_TITLE)
    write_text(folder / "leakage.svg", svg)
    page = render_page(
        "lesionwise.report",
        "leakage.html",
        name=folder.resolve().name,
        outcomes=outcomes,
        titles=PROTOCOLS,
        stamp=LEAKY_STAMP,
        figure=Markup(svg),  # noqa: S704 (our own drawing, which holds no text from outside)
        recipe=(folder / "config.toml").read_text(encoding="utf-8"),
    )
    path = folder / "leakage.html"
    write_text(path, page)
    return path


def leakage_table(folder: Path) -> pd.DataFrame:
    """Return a row for each protocol, place and score, as `leakage.csv` holds them."""
    return pd.read_csv(folder / TABLE, keep_default_na=False)


def plot_leakage(table: pd.DataFrame) -> Figure:
    """Draw what each protocol reports beside what its model is worth, with intervals."""
    names = [name for name in PROTOCOLS if name in set(table["protocol"])]
    leaky = set(table.loc[table["stamp"] == LEAKY_STAMP, "protocol"])
    with new_figure(9.6, 0.9 + 0.62 * len(names), 1, len(_PANELS), sharey=True) as (figure, panels):
        for axes, (score, title) in zip(panels, _PANELS.items(), strict=True):
            for where, (marker, color, label, offset) in _MARKS.items():
                rows = table[(table["score"] == score) & (table["measured_on"] == where)]
                rows = rows.set_index("protocol").reindex(names)
                places = [row + offset for row in range(len(names))]
                axes.hlines(places, rows["low"], rows["high"], color=LIGHT[color], lw=2.4, alpha=0.55)
                axes.plot(rows["value"], places, marker, color=LIGHT[color], ms=6, label=label)
                for place, value in zip(places, rows["value"], strict=True):
                    axes.text(1.02, place, f"{value:.3f}", va="center", color=LIGHT[color], fontsize=8)
            axes.set(title=title, xlim=(0, 1), ylim=(len(names) - 0.5, -0.5))
            axes.tick_params(axis="y", length=0, labelcolor=LIGHT["ink"])
        stamped = [
            f"{PROTOCOLS[name]}\n{LEAKY_STAMP}" if name in leaky else PROTOCOLS[name] for name in names
        ]
        panels[0].set_yticks(range(len(names)), stamped)
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=len(_MARKS), fontsize=9)
    return figure
