"""A figure as two files and a piece of a page: the drawing, and the table that it was drawn from."""

from pathlib import Path

import pandas as pd
from markupsafe import Markup
from matplotlib.figure import Figure

from lesionwise.files import write_text
from lesionwise.page.theme import figure_svg

Drawing = tuple[Figure, pd.DataFrame, str]
"""A figure, the table that it is drawn from, and a title for those who cannot see it."""


def write_figure(folder: Path, name: str, figure: Figure, table: pd.DataFrame, title: str) -> Markup:
    """Write a figure as SVG and its table as CSV, and return the drawing for the page.

    Args:
        folder: Where both go, as `<name>.svg` and `<name>.csv`.
        name: Name of the figure; sets its ids apart from those of others on the page.
    """
    svg = figure_svg(figure, name=name, title=title)
    write_text(folder / f"{name}.svg", svg)
    write_text(folder / f"{name}.csv", table.to_csv(index=False, lineterminator="\n"))
    return Markup(svg)  # noqa: S704 (our own drawing; matplotlib escapes texts)
