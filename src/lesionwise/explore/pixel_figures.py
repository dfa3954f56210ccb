"""Pictures that show pixels: mean images, samples of each class, the map of features and its thumbnails."""

from collections.abc import Mapping
from typing import Final

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray
from PIL import Image

from lesionwise.encoding import jpeg_uri
from lesionwise.explore.pixels import Float
from lesionwise.labels import CODES
from lesionwise.page.palette import DIAGNOSIS_COLORS, LIGHT
from lesionwise.page.theme import figure_style

SAMPLES: Final = 6
MAPPED: Final = 400
"""Images of a diagnosis that the page's map shows at most; the figure and the CSV hold all."""
TILE: Final = (72, 96)
"""Height and width of a thumbnail on the sheet, in pixels."""
QUALITY: Final = 75
MARKERS = dict(zip(CODES, ("o", "s", "^", "D", "X", ".", "P"), strict=True))
"""With the colour, what tells the diagnoses apart on the map."""


def sample_rows(dx: NDArray[np.str_], lesion: NDArray[np.str_], *, count: int) -> dict[str, list[int]]:
    """Return rows of each diagnosis, drawn at random, a lesion at most once."""
    rng = np.random.default_rng(0)
    chosen = {}
    for code in CODES:
        rows = rng.permutation(np.flatnonzero(dx == code))
        _, first = np.unique(lesion[rows], return_index=True)
        chosen[code] = rows[np.sort(first)][:count].tolist()
    return chosen


def thumbnail_sheet(pixels: NDArray[np.uint8], rows: list[int]) -> tuple[str, int]:
    """Return thumbnails side by side as one picture, and how many are in a line."""
    across = max(1, int(np.ceil(np.sqrt(len(rows) * TILE[0] / TILE[1]))))
    down = -(-len(rows) // across) or 1
    sheet = np.zeros((down * TILE[0], across * TILE[1], 3), np.uint8)
    for place, row in enumerate(rows):
        top, left = place // across * TILE[0], place % across * TILE[1]
        small = Image.fromarray(pixels[row]).resize(TILE[::-1], Image.Resampling.BOX)
        sheet[top : top + TILE[0], left : left + TILE[1]] = np.asarray(small)
    return jpeg_uri(sheet, quality=QUALITY), across


def mean_image_table(mean: Float, deviation: Float, images: Mapping[str, int]) -> pd.DataFrame:
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


def plot_mean_images(mean: Float, deviation: Float, images: Mapping[str, int]) -> Figure:
    """Draw the mean image of each class, and below it how much its images differ at each place."""
    present = [index for index, code in enumerate(CODES) if images[code]]
    most = max((float(deviation[index].max()) for index in present), default=1.0)
    with figure_style():
        figure = Figure(figsize=(9.6, 2.7))
        grid = figure.subplots(2, len(CODES))
        for axes in grid.ravel():
            axes.set_axis_off()
        for index in present:
            grid[0, index].imshow(np.clip(mean[index] / 255, 0, 1))
            grid[1, index].imshow(deviation[index], cmap="gray", vmin=0, vmax=most)
            grid[0, index].set_title(CODES[index], fontsize=10)
            grid[1, index].set_title(f"± {deviation[index].mean():.0f}", fontsize=9, color=LIGHT["quiet"])
    return figure


def plot_samples(rows: Mapping[str, list[int]], pixels: NDArray[np.uint8]) -> Figure:
    """Draw some images of each diagnosis, a diagnosis a line."""
    shown = {code: chosen for code, chosen in rows.items() if chosen}
    most = max(map(len, shown.values()))
    with figure_style():
        figure = Figure(figsize=(1.55 * most, 1.25 * len(shown)))
        grid = figure.subplots(len(shown), most, squeeze=False)
        for line, (code, chosen) in zip(grid, shown.items(), strict=True):
            for axes in line:
                axes.set_axis_off()
            for axes, row in zip(line, chosen, strict=False):
                axes.imshow(pixels[row])
            line[0].set_title(code, fontsize=10)
    return figure


def plot_map(points: pd.DataFrame, axes_names: tuple[str, str]) -> Figure:
    """Draw every image at its place on the map, the commonest diagnosis below the others."""
    with figure_style():
        figure = Figure(figsize=(8.4, 6.2))
        axes = figure.subplots()
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
