"""Figures of the table: counts, ages, sexes, sites, what is missing."""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, MaxNLocator, PercentFormatter

from lesionwise.explore.tables import AGE_STEP_YEARS
from lesionwise.labels import CODES
from lesionwise.page.palette import DIAGNOSIS_COLORS, LIGHT
from lesionwise.page.theme import figure_style, name_rows, shade_cells
from lesionwise.wording import counted

SEX_COLORS: Final = {"female": LIGHT["accent"], "male": LIGHT["quiet"], "unknown": LIGHT["line"]}
MOST_BARS: Final = 16
_DEEPEST_AT_LEAST: Final = 0.2  # a cell of 3 % must not look like much because the others hold less
_THOUSANDS: Final = FuncFormatter(lambda value, _: f"{value:,.0f}")


def _count_on(axis: Axis) -> None:
    """Let an axis count in whole numbers."""
    axis.set_major_locator(MaxNLocator(nbins="auto", integer=True))
    axis.set_major_formatter(_THOUSANDS)


def _write_beside(axes: Axes, row: int, end: float, text: str) -> None:
    """Write a text behind the end of a bar."""
    axes.annotate(text, (end, row), (6, 0), textcoords="offset points", va="center", color=LIGHT["quiet"],
                  fontsize=9)  # fmt: skip


def plot_diagnoses(table: pd.DataFrame) -> Figure:
    """Draw images and lesions of each diagnosis as two bars."""
    with figure_style():
        figure = Figure(figsize=(7.4, 3.6))
        axes = figure.subplots()
        for row, (code, images, lesions) in enumerate(
            zip(table["diagnosis"], table["images"], table["lesions"], strict=True)
        ):
            color = DIAGNOSIS_COLORS[code]
            axes.barh(row - 0.19, images, height=0.36, color=color)
            axes.barh(row + 0.2, lesions, height=0.3, color=color, alpha=0.45)
            _write_beside(axes, row, images, f"{counted(images, 'image')}, {counted(lesions, 'lesion')}")
        name_rows(axes, list(table["diagnosis"]))
        axes.set(xlim=(0, max(1, table["images"].max()) * 1.32), xlabel="images (full), lesions (pale)")
        _count_on(axes.xaxis)
        axes.grid(visible=False)  # the values stand at the bars, and a line would cross them
    return figure


def plot_counts(table: pd.DataFrame, column: str, label: str, *, sort_values: bool = False) -> Figure:
    """Draw how many images have each value of a column, in its order or the commonest first."""
    shown = table if sort_values else table.head(MOST_BARS)
    with figure_style():
        figure = Figure(figsize=(8.4, 0.9 + 0.3 * max(4, len(shown))))
        axes = figure.subplots()
        left = np.zeros(len(shown))
        for code in CODES:
            values = shown[code].to_numpy(float)
            axes.barh(range(len(shown)), values, left=left, height=0.68, color=DIAGNOSIS_COLORS[code])
            left += values
        for row, total in enumerate(left):
            _write_beside(axes, row, total, f"{total:,.0f}")
        name_rows(axes, [str(value) for value in shown[column]])
        axes.set(xlim=(0, max(1.0, left.max(initial=1.0)) * 1.12), xlabel=label)
        _count_on(axes.xaxis)
        axes.grid(visible=False)  # the values stand at the bars, and a line would cross them
        diagnosis_legend(figure, axes)
    return figure


def plot_ages(table: pd.DataFrame) -> Figure:
    """Draw the histogram of ages, malignant or pre-malignant diagnoses and the others in one stack."""
    with figure_style():
        figure = Figure(figsize=(8.4, 3.4))
        axes = figure.subplots()
        bottom = np.zeros(len(table))
        places = table["age_from"].to_numpy(float) + AGE_STEP_YEARS / 2
        for code in CODES:
            values = table[code].to_numpy(float)
            axes.bar(places, values, bottom=bottom, width=AGE_STEP_YEARS * 0.86, color=DIAGNOSIS_COLORS[code])
            bottom += values
        axes.grid(visible=False, axis="x")
        axes.set(xlabel="age in years", ylabel="images")
        _count_on(axes.yaxis)
        diagnosis_legend(figure, axes)
    return figure


def plot_shares(table: pd.DataFrame, colors: dict[str, str], label: str) -> Figure:
    """Draw the parts of each diagnosis as one bar of full length."""
    with figure_style():
        figure = Figure(figsize=(7.4, 3.3))
        axes = figure.subplots()
        left = np.zeros(len(table))
        for column, color in colors.items():
            if column not in table:
                continue
            values = table[column].to_numpy(float)
            axes.barh(range(len(table)), values, left=left, height=0.68, color=color)
            for row, value in enumerate(values):
                if value > 0.08:  # noqa: PLR2004 (the room that two digits need)
                    ink = LIGHT["ink"] if color == LIGHT["line"] else LIGHT["raised"]
                    axes.text(left[row] + value / 2, row, _percent(value), ha="center", va="center",
                              fontsize=9, color=ink)  # fmt: skip
            left += values
        axes.grid(visible=False)
        axes.axvline(0.5, color=LIGHT["ink"], lw=0.8, ls=(0, (3, 3)))
        name_rows(axes, list(table.index))
        axes.set(xlim=(0, 1), xlabel=label)
        axes.xaxis.set_major_formatter(PercentFormatter(1))
        handles = [Patch(color=color, label=name) for name, color in colors.items() if name in table]
        figure.legend(handles=handles, loc="outside upper left", ncols=len(handles), fontsize=9)
    return figure


def plot_cells(table: pd.DataFrame, x: str, *, wide: bool = False) -> Figure:
    """Draw parts as shaded cells with their percentage; `wide` turns the names of many columns."""
    values = table.to_numpy(float)
    most = max(values.max(initial=0.0), _DEEPEST_AT_LEAST)
    with figure_style():
        size = (min(9.6, 1.6 + 0.56 * values.shape[1]), 4.4) if wide else (1.6 + 1.25 * values.shape[1], 3.9)
        figure = Figure(figsize=size)
        axes = figure.subplots()
        shade_cells(axes, values / most, [[_percent(share) for share in row] for row in values])
        slant: dict[str, Any] = {"rotation": 40, "ha": "right", "rotation_mode": "anchor"} if wide else {}
        axes.set_xticks(range(values.shape[1]), [str(name) for name in table.columns], **slant)
        axes.set_yticks(range(len(table)), list(table.index))
        axes.set_xlabel(x)
    return figure


def plot_sizes(table: pd.DataFrame) -> Figure:
    """Draw how many image files have each size."""
    shown = table.head(MOST_BARS)
    with figure_style():
        figure = Figure(figsize=(7.4, 0.9 + 0.34 * max(2, len(shown))))
        axes = figure.subplots()
        axes.barh(range(len(shown)), shown["images"], height=0.62, color=LIGHT["accent"])
        for row, images in enumerate(shown["images"]):
            _write_beside(axes, row, images, f"{images:,}")
        name_rows(axes, list(shown["size_px"]))
        axes.set(xlim=(0, shown["images"].max() * 1.14), xlabel="images")
        _count_on(axes.xaxis)
        axes.grid(visible=False)  # the values stand at the bars, and a line would cross them
    return figure


def plot_spreads(table: pd.DataFrame, titles: dict[str, str], *, columns: int = 2) -> Figure:
    """Draw the spread of each measure in each diagnosis: median, middle half, and from 5 to 95 %."""
    lines = -(-len(titles) // columns)
    with figure_style():
        figure = Figure(
            figsize=(9.6 if columns > 1 else 7.4, 0.4 + 2.75 * lines),
            layout=ConstrainedLayoutEngine(h_pad=0.1),
        )
        grid = np.ravel(figure.subplots(lines, columns, squeeze=False))
        for axes, (measure, title) in zip(grid, titles.items(), strict=False):
            own = {
                str(row["diagnosis"]): row for row in table[table["measure"] == measure].to_dict("records")
            }
            for row, code in enumerate(CODES):
                _spread(axes, row, own[code], DIAGNOSIS_COLORS[code])
            axes.grid(visible=False, axis="y")
            axes.xaxis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 5, 10]))
            name_rows(axes, CODES)
            axes.set_title(title)
        for axes in grid[len(titles) :]:
            axes.set_axis_off()
    return figure


def diagnosis_legend(figure: Figure, axes: Axes) -> None:
    """Name the colours of the diagnoses above a figure."""
    handles = [Patch(color=DIAGNOSIS_COLORS[code], label=code) for code in CODES]
    figure.legend(handles=handles, loc="outside upper left", ncols=len(CODES), fontsize=9,
                  handlelength=1, columnspacing=1.2)  # fmt: skip
    axes.set_title("")


def _spread(axes: Axes, row: int, quantiles: Mapping[Any, Any], color: str) -> None:
    if not quantiles["images"]:
        return
    axes.plot([quantiles["p05"], quantiles["p95"]], [row, row], color=color, lw=1.4, alpha=0.7)
    axes.plot([quantiles["p25"], quantiles["p75"]], [row, row], color=color, lw=7, alpha=0.45,
              solid_capstyle="butt")  # fmt: skip
    axes.plot(quantiles["p50"], row, "o", color=color, ms=5.5)


def _percent(share: float) -> str:
    if share == 0:
        return "0"
    return "<1 %" if share < 0.01 else f"{100 * share:.0f} %"  # noqa: PLR2004 (one in a hundred)
