"""One pass over the cached pixels: colour and light of each image, its features, mean image of each class.

Here: what needs the pixels alone. Not here: what needs masks (`abcd`).

Colours are CIE L*a*b* (D65): equal steps look about equally large there. L* is light from 0 to 100, a* goes
from green to red, b* from blue to yellow.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
import pandas as pd

from lesionwise.arrays import Float32s, Floats, Integers, Pixels, blocks
from lesionwise.execution import Execution, usable_cores
from lesionwise.labels import CODES

SIZE: Final = (112, 150)
"""Height and width that explore reads images at, in pixels: those of `small`: one cache for both."""

COLOR_MEASURES: Final = {
    "brightness": "Brightness (L*)",
    "redness": "Redness (a*)",
    "yellowness": "Yellowness (b*)",
    "contrast": "Contrast (deviation of L*)",
}
BLOCK: Final = 32  # images; 6 MB of L*a*b* at 112x150, which the allocator reuses: half the time of 128
_CELLS: Final = 3  # the image is described in 3 x 3 cells
_DETAIL_STEPS: Final = (1, 2, 4)  # px of the halved image over which detail is measured


@dataclass(frozen=True)
class Look:
    """What the pixels of a data set say.

    Attributes:
        measures: One row for each image, columns as `COLOR_MEASURES` and those of the masks, NaN where an
            image has no mask.
        features: Colour and texture of each image as numbers, shape (N, D).
        mean: Mean image of each class in RGB, shape (C, H, W, 3); zero for a class without an image.
        deviation: Standard deviation of each pixel over the class, mean of the channels, shape (C, H, W).
    """

    measures: pd.DataFrame
    features: Float32s
    mean: Float32s
    deviation: Float32s


class ClassSums:
    """Sums of pixels and of their squares by class, from which mean and deviation come."""

    def __init__(self, shape: tuple[int, int]) -> None:
        self.count = np.zeros(len(CODES))
        self.total = np.zeros((len(CODES), *shape, 3))
        self.squares = np.zeros((len(CODES), *shape, 3))

    def add(self, pixels: Pixels, y: Integers) -> None:
        """Take in a block, shape (B, H, W, 3), with its class indices (B,)."""
        for index in np.unique(y):
            own = pixels[y == index].astype(np.uint32)
            self.count[index] += len(own)
            self.total[index] += own.sum(axis=0)
            self.squares[index] += (own * own).sum(axis=0)

    def mean(self) -> Float32s:
        """Return the mean image of each class, shape (C, H, W, 3)."""
        return (self.total / np.maximum(self.count, 1)[:, None, None, None]).astype(np.float32)

    def deviation(self) -> Float32s:
        """Return the deviation of each pixel, mean of the channels, shape (C, H, W)."""
        count = np.maximum(self.count, 1)[:, None, None, None]
        variance = self.squares / count - (self.total / count) ** 2
        return np.asarray(np.sqrt(np.maximum(variance, 0)).mean(axis=3), dtype=np.float32)


def color_measures(lab: Float32s) -> dict[str, Floats]:
    """Return light and colour of each image of a block."""
    mean = lab.mean(axis=(1, 2), dtype=np.float64)
    values = (mean[:, 0], mean[:, 1], mean[:, 2], lab[..., 0].std(axis=(1, 2), dtype=np.float64))
    return dict(zip(COLOR_MEASURES, values, strict=True))


def colour_texture_features(lab: Float32s) -> Float32s:
    """Describe images of a block by numbers that no training has made: colour by place, detail by scale.

    Mean and deviation of L*, a*, b* in 3 x 3 cells (54 numbers), and the mean step of L* over one, two and
    four pixels of the halved image, in the centre and everywhere (6).

    Args:
        lab: L*a*b* values, shape (B, H, W, 3), H and W at least 16.
    """
    height, width = (side // 2 * 2 for side in lab.shape[1:3])
    half = (lab[:, 0:height:2, 0:width:2] + lab[:, 1:height:2, 1:width:2]) / 2
    rows, columns = (np.linspace(0, side, _CELLS + 1).astype(int) for side in half.shape[1:3])
    found = []
    for top, bottom in pairwise(rows):
        for left, right in pairwise(columns):
            cell = half[:, top:bottom, left:right]
            found += [cell.mean(axis=(1, 2)), cell.std(axis=(1, 2))]
    light = half[..., 0]
    for step in _DETAIL_STEPS:
        change = np.abs(light[:, step:, step:] - light[:, :-step, :-step])
        inner = change[:, rows[1] : rows[2], columns[1] : columns[2]].mean(axis=(1, 2))
        found += [inner[:, None], change.mean(axis=(1, 2))[:, None]]
    return np.concatenate(found, axis=1).astype(np.float32)


def in_threads(work: Callable[[slice], None], rows: int, execution: Execution = Execution()) -> None:
    """Do a piece of work for every block of rows on all cores."""
    done = 0
    with ThreadPoolExecutor(execution.workers or usable_cores()) as pool:
        for part, _ in zip(blocks(rows, BLOCK), pool.map(work, blocks(rows, BLOCK)), strict=True):
            done += part.stop - part.start
            execution.progress.on_work("looking at images", done, rows)
