"""Figures as SVG that follow the page: the same drawing in a light and in a dark scheme.

Here: the look of every figure, and turning it into text. Not here: what is drawn.

matplotlib draws with the light colours; in the SVG each becomes a CSS variable with that colour to fall
back on, so that a figure is right inside a page of either scheme and in a file of its own.
"""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import matplotlib as mpl
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from lesionwise.page.palette import LIGHT

_STYLE: Final[dict[Any, Any]] = {  # matplotlib's own key type is a list of all its keys
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

SHADES: Final = LinearSegmentedColormap.from_list("lesionwise", ["#1b6f7800", "#1b6f78ff"])
"""From nothing to the accent: legible on either ground."""


@contextmanager
def figure_style() -> Iterator[None]:
    """Draw in the package's look inside the block."""
    with mpl.rc_context(_STYLE):
        yield


def figure_svg(figure: Figure, *, title: str) -> str:
    """Return a figure as an SVG element that names itself to screen readers.

    Args:
        figure: Drawn inside `figure_style`.
        title: What it shows, in a sentence.
    """
    buffer = io.StringIO()
    with figure_style():
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Title": title})
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :].replace("<svg ", '<svg role="img" ', 1)
    svg = svg.replace("DejaVu Sans", "system-ui").replace("'Bitstream Vera Sans'", "sans-serif")
    for token, color in LIGHT.items():
        svg = svg.replace(color, f"var(--{token}, {color})")
    return svg
