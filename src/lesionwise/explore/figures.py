"""Figures of a data set: counts, ages, sexes, sites, mean images and samples of each class, and the map."""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, MaxNLocator, PercentFormatter
from numpy.typing import NDArray
from PIL import Image

from lesionwise.arrays import Float32s, Pixels
from lesionwise.encoding import jpeg_uri
from lesionwise.explore.tables import AGE_STEP_YEARS
from lesionwise.labels import CODES
from lesionwise.page.palette import DIAGNOSIS_COLORS, LIGHT
from lesionwise.page.theme import figure_style, name_rows, new_figure, shade_cells
from lesionwise.wording import counted

_SEX_COLORS: Final = {"female": LIGHT["accent"], "male": LIGHT["quiet"], "unknown": LIGHT["line"]}
MOST_BARS: Final = 16
SAMPLES: Final = 6
MAPPED: Final = 400
"""Images of a diagnosis that the page's map shows at most; the figure and the CSV hold all."""
TILE: Final = (72, 96)
"""Height and width of a thumbnail on the sheet, in pixels."""
QUALITY: Final = 75
MARKERS = dict(zip(CODES, ("o", "s", "^", "D", "X", ".", "P"), strict=True))
"""With the colour, what tells the diagnoses apart on the map."""
_DEEPEST_AT_LEAST: Final = 0.2  # a cell of 3 % must not look like much because the others hold less
_THOUSANDS: Final = FuncFormatter(lambda value, _: f"{value:,.0f}")


def _count_on(axis: Axis) -> None:
    """Let an axis count in whole numbers."""
    axis.set_major_locator(MaxNLocator(nbins="auto", integer=True))
    axis.set_major_formatter(_THOUSANDS)


def _name_bars(axes: Axes, names: pd.Series, longest: float, label: str) -> None:
    """Name the bars of a figure of counts, whose values are written beside them."""
    name_rows(axes, [str(name) for name in names])
    axes.set(xlim=(0, longest), xlabel=label)
    _count_on(axes.xaxis)
    axes.grid(visible=False)  # a line would cross the values


def _write_beside(axes: Axes, row: int, end: float, text: str) -> None:
    """Write a text behind the end of a bar."""
    axes.annotate(text, (end, row), (6, 0), textcoords="offset points", va="center", color=LIGHT["quiet"],
                  fontsize=9)  # fmt: skip


def plot_diagnoses(table: pd.DataFrame) -> Figure:
    """Draw images and lesions of each diagnosis as two bars."""
    with new_figure(7.4, 3.6) as (figure, axes):
        counts = zip(table["diagnosis"], table["images"], table["lesions"], strict=True)
        for row, (code, images, lesions) in enumerate(counts):
            color = DIAGNOSIS_COLORS[code]
            axes.barh(row - 0.19, images, height=0.36, color=color)
            axes.barh(row + 0.2, lesions, height=0.3, color=color, alpha=0.45)
            _write_beside(axes, row, images, f"{counted(images, 'image')}, {counted(lesions, 'lesion')}")
        longest = 1.32 * max(1, table["images"].max())
        _name_bars(axes, table["diagnosis"], longest, "images (full), lesions (pale)")
    return figure


def plot_counts(
    table: pd.DataFrame,
    column: str,
    label: str,
    colors: Mapping[str, str] = DIAGNOSIS_COLORS,
    *,
    most: int | None = MOST_BARS,
) -> Figure:
    """Draw how many images have each value of a column, in the order of the table.

    Args:
        colors: Colour of each part of a bar, by the column that counts it.
        most: Number of bars; None for all.
    """
    shown = table[:most]
    with new_figure(8.4, 0.9 + 0.3 * max(4, len(shown))) as (figure, axes):
        left = np.zeros(len(shown))
        for part, color in colors.items():
            values = shown[part].to_numpy(float)
            axes.barh(range(len(shown)), values, left=left, height=0.68, color=color)
            left += values
        for row, total in enumerate(left):
            _write_beside(axes, row, total, f"{total:,.0f}")
        _name_bars(axes, shown[column], 1.12 * left.max(initial=1.0), label)
        if colors is DIAGNOSIS_COLORS:
            diagnosis_legend(figure, axes)
    return figure


def plot_ages(table: pd.DataFrame) -> Figure:
    """Draw the histogram of ages, malignant or pre-malignant diagnoses and the others in one stack."""
    with new_figure(8.4, 3.4) as (figure, axes):
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


def plot_shares(table: pd.DataFrame) -> Figure:
    """Draw the sexes of each diagnosis as one bar of full length."""
    with new_figure(7.4, 3.3) as (figure, axes):
        left = np.zeros(len(table))
        for column, color in _SEX_COLORS.items():
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
        axes.set(xlim=(0, 1), xlabel="share of the images of the diagnosis")
        axes.xaxis.set_major_formatter(PercentFormatter(1))
        handles = [Patch(color=color, label=name) for name, color in _SEX_COLORS.items() if name in table]
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
            own = table[table["measure"] == measure].set_index("diagnosis")
            for row, code in enumerate(CODES):
                _spread(axes, row, own.loc[code].to_dict(), DIAGNOSIS_COLORS[code])
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


def sample_rows(dx: NDArray[np.str_], lesion: NDArray[np.str_], *, count: int) -> dict[str, list[int]]:
    """Return rows of each diagnosis, drawn at random, a lesion at most once."""
    rng = np.random.default_rng(0)
    chosen = {}
    for code in CODES:
        rows = rng.permutation(np.flatnonzero(dx == code))
        _, first = np.unique(lesion[rows], return_index=True)
        chosen[code] = rows[np.sort(first)][:count].tolist()
    return chosen


def thumbnail_sheet(pixels: Pixels, rows: list[int]) -> tuple[str, int]:
    """Return thumbnails side by side as one picture, and how many are in a line."""
    across = max(1, int(np.ceil(np.sqrt(len(rows) * TILE[0] / TILE[1]))))
    down = -(-len(rows) // across) or 1
    sheet = np.zeros((down * TILE[0], across * TILE[1], 3), np.uint8)
    for place, row in enumerate(rows):
        top, left = place // across * TILE[0], place % across * TILE[1]
        small = Image.fromarray(pixels[row]).resize(TILE[::-1], Image.Resampling.BOX)
        sheet[top : top + TILE[0], left : left + TILE[1]] = np.asarray(small)
    return jpeg_uri(sheet, quality=QUALITY), across


def mean_image_table(mean: Float32s, deviation: Float32s, images: Mapping[str, int]) -> pd.DataFrame:
    """Return each class's mean colour in the centre and at the border, and how far images differ there."""
    height, width = deviation.shape[1:]
    centre = np.zeros((height, width), bool)
    centre[height // 3 : -(height // 3), width // 3 : -(width // 3)] = True
    rows = []
    for index, code in enumerate(CODES):
        inner, outer = mean[index][centre].mean(axis=0), mean[index][~centre].mean(axis=0)
        spread = deviation[index][centre].mean(), deviation[index][~centre].mean()
        rows.append([code, images[code], *inner, *outer, *spread])
    channels = [
        f"{channel}_{place}" for place in ("centre", "border") for channel in ("red", "green", "blue")
    ]
    columns = ["diagnosis", "images", *channels, "deviation_centre", "deviation_border"]
    return pd.DataFrame(rows, columns=columns).round(2)


def plot_mean_images(mean: Float32s, deviation: Float32s, images: Mapping[str, int]) -> Figure:
    """Draw the mean image of each class, and below it how much its images differ at each place."""
    present = [index for index, code in enumerate(CODES) if images[code]]
    most = max((float(deviation[index].max()) for index in present), default=1.0)
    with new_figure(9.6, 2.7, 2, len(CODES)) as (figure, grid):
        for axes in grid.ravel():
            axes.set_axis_off()
        for index in present:
            grid[0, index].imshow(np.clip(mean[index] / 255, 0, 1))
            grid[1, index].imshow(deviation[index], cmap="gray", vmin=0, vmax=most)
            grid[0, index].set_title(CODES[index], fontsize=10)
            grid[1, index].set_title(f"± {deviation[index].mean():.0f}", fontsize=9, color=LIGHT["quiet"])
    return figure


def plot_samples(rows: Mapping[str, list[int]], pixels: Pixels) -> Figure:
    """Draw some images of each diagnosis, a diagnosis a line."""
    shown = {code: chosen for code, chosen in rows.items() if chosen}
    most = max(map(len, shown.values()))
    with new_figure(1.55 * most, 1.25 * len(shown), len(shown), most, squeeze=False) as (figure, grid):
        for line, (code, chosen) in zip(grid, shown.items(), strict=True):
            for axes in line:
                axes.set_axis_off()
            for axes, row in zip(line, chosen, strict=False):
                axes.imshow(pixels[row])
            line[0].set_title(code, fontsize=10)
    return figure


def plot_map(points: pd.DataFrame, axes_names: tuple[str, str]) -> Figure:
    """Draw every image at its place on the map, the commonest diagnosis below the others."""
    with new_figure(8.4, 6.2) as (figure, axes):
        for code in sorted(CODES, key=lambda code: -int((points["dx"] == code).sum())):
            own = points[points["dx"] == code]
            size = 26 if MARKERS[code] == "." else 13
            axes.scatter(own["x"], own["y"], s=size, marker=MARKERS[code], color=DIAGNOSIS_COLORS[code],
                         alpha=0.55, lw=0, rasterized=True)  # fmt: skip
        axes.set(xlabel=axes_names[0], ylabel=axes_names[1])
        axes.set_xlim(*_range(points["x"]))
        axes.set_ylim(*_range(points["y"]))
        handles = [
            Line2D([], [], ls="", marker=MARKERS[code], color=DIAGNOSIS_COLORS[code], label=code, ms=6)
            for code in CODES
        ]
        figure.legend(handles=handles, loc="outside upper left", ncols=len(CODES), fontsize=9,
                      handletextpad=0.1, columnspacing=1.2)  # fmt: skip
    return figure


def _range(values: "pd.Series[float]") -> tuple[float, float]:
    low, high = float(values.min()), float(values.max())
    margin = 0.04 * max(high - low, 1e-6)
    return low - margin, high + margin
