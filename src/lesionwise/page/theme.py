"""Figures as SVG that follow the scheme of the page, light or dark.

matplotlib draws with the light colours. In the SVG each becomes a CSS variable with that colour as a
fallback, so a figure fits into a page of either scheme and into a file of its own.
"""

import io
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from html import escape
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
import numpy as np
import pandas as pd
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from lesionwise.arrays import Floats
from lesionwise.files import write_text
from lesionwise.page.palette import DIAGNOSIS_COLORS, LIGHT, PALE_INK, PALE_INK_ABOVE, SHADE

Drawing = tuple[Figure, pd.DataFrame, str]
"""A figure, its table, and a title for people who cannot see it."""

_STYLE: Final[dict[Any, Any]] = {  # matplotlib's own key type is a list of all its keys
    "axes.axisbelow": True,
    "axes.edgecolor": LIGHT["line"],
    "axes.facecolor": "none",
    "axes.grid": True,
    "axes.labelcolor": LIGHT["quiet"],
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 11,
    "axes.titlecolor": LIGHT["ink"],
    "figure.facecolor": "none",
    "figure.constrained_layout.use": True,
    "figure.constrained_layout.h_pad": 0.08,  # inches: a browser's letters may be taller
    "font.family": "sans-serif",
    "font.size": 10,
    "grid.color": LIGHT["line"],
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "legend.labelcolor": LIGHT["ink"],
    "lines.linewidth": 1.8,
    "svg.fonttype": "none",  # text stays text: it can be searched, and takes the page's font
    "svg.hashsalt": "lesionwise",  # the same figure gives the same file
    "text.color": LIGHT["ink"],
    "xtick.color": LIGHT["quiet"],
    "ytick.color": LIGHT["quiet"],
}

DASHED: Final[dict[str, Any]] = {"color": LIGHT["quiet"], "lw": 1, "ls": (0, (4, 3))}
"""The look of a line to compare with, such as chance."""
_BEFORE_ID: Final = re.compile(r'(?<= id=")|(?<=url\(#)|(?<=href="#)')


@contextmanager
def figure_style() -> Iterator[None]:
    """Draw in the package's look inside the block."""
    with mpl.rc_context(_STYLE):
        yield


@contextmanager
def new_figure(width: float, height: float, *grid: int, **options: Any) -> Iterator[tuple[Figure, Any]]:  # noqa: ANN401 (matplotlib's)
    """Yield a figure of so many inches and its panels, to be drawn on in the package's look inside the block.

    Args:
        grid: Number of rows and of columns of panels; left out, there is one panel.
        options: As for `Figure.subplots`.
    """
    with figure_style():
        figure = Figure(figsize=(width, height))
        yield figure, figure.subplots(*grid, **options)


def name_rows(axes: Axes, names: Sequence[str]) -> None:
    """Name the rows of a figure from the top, without marks and lines."""
    axes.grid(visible=False, axis="y")
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0, labelcolor=LIGHT["ink"])
    axes.spines["left"].set_visible(False)


def shade_cells(axes: Axes, depths: Floats, texts: Sequence[Sequence[str]]) -> None:
    """Draw a table as cells with a text, each shaded by a depth from 0 to 1."""
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    for (row, column), depth in np.ndenumerate(depths):
        axes.add_patch(Rectangle((column - 0.48, row - 0.48), 0.96, 0.96, color=SHADE, alpha=depth, lw=0))
        ink = PALE_INK if depth > PALE_INK_ABOVE else LIGHT["ink"] if depth else LIGHT["quiet"]
        axes.text(column, row, texts[row][column], ha="center", va="center", color=ink, fontsize=9)
    axes.set(xlim=(-0.5, depths.shape[1] - 0.5), ylim=(depths.shape[0] - 0.5, -0.5))
    axes.tick_params(length=0, labelcolor=LIGHT["ink"])


def figure_svg(figure: Figure, *, name: str, title: str) -> str:
    """Return a figure as an SVG element with a title for screen readers.

    Args:
        figure: Drawn inside `figure_style`.
        name: Distinguishes its ids from those of other figures on the page.
    """
    buffer = io.StringIO()
    with figure_style():
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Title": title})
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :].replace("<svg ", f'<svg role="img" aria-label="{escape(title)}" ', 1)
    svg = _BEFORE_ID.sub(f"{name}-", svg)
    svg = svg.replace("DejaVu Sans", "system-ui").replace("'Bitstream Vera Sans'", "sans-serif")
    for token, color in (LIGHT | DIAGNOSIS_COLORS).items():
        svg = svg.replace(color, f"var(--{token}, {color})")
    return svg


def write_figures(folder: Path, drawings: Mapping[str, Drawing], part: str = "") -> dict[str, Markup]:
    """Write figures as SVG and their tables as CSV, and return the drawings for the page, by name.

    Args:
        part: Part of the images that they show, which ends the names of their files; none if left out.
    """
    found = {}
    for key, (figure, table, title) in drawings.items():
        name = f"{key}-{part}" if part else key
        svg = figure_svg(figure, name=name, title=title)
        write_text(folder / f"{name}.svg", svg)
        write_text(folder / f"{name}.csv", table.to_csv(index=False, lineterminator="\n"))
        found[key] = Markup(svg)  # noqa: S704 (our own drawing; matplotlib escapes texts)
    return found
