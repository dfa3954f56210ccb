"""Looking at every image of a data set once: measures, features, class means.

Here: running over the blocks. Not here: what is measured (`pixels`, `abcd`).
"""

from threading import Lock
from typing import Final

import numpy as np
import pandas as pd

from lesionwise.data.cache import ImageCache
from lesionwise.data.dataset import Dataset
from lesionwise.data.lab import rgb_to_lab
from lesionwise.data.masks import find_masks, fit_mask
from lesionwise.execution import Execution
from lesionwise.explore.abcd import MASK_MEASURES, mask_measures
from lesionwise.explore.pixels import (
    COLOR_MEASURES,
    SIZE,
    ClassSums,
    Look,
    color_measures,
    colour_texture_features,
    in_threads,
)

_FEATURES: Final = 60
_MOSTLY: Final = 0.5  # of a pixel: it counts as lesion


def look_at_images(dataset: Dataset, cache: ImageCache, execution: Execution = Execution()) -> Look:
    """Measure every image of a data set, and its masks where there are some.

    Returns:
        What was measured; images without a mask have NaN in the columns that need one.
    """
    y, image_ids = dataset.y, dataset.table["image_id"].to_list()
    names = (*COLOR_MEASURES, *MASK_MEASURES)
    measured = {name: np.full(len(y), np.nan) for name in names}
    features = np.zeros((len(y), _FEATURES), np.float32)
    sums, turn = ClassSums(SIZE), Lock()

    masks = find_masks(dataset.folder)

    def work(part: slice) -> None:
        pixels = np.asarray(cache.pixels[part])
        lab = rgb_to_lab(pixels)
        for name, values in color_measures(lab).items():
            measured[name][part] = values
        features[part] = colour_texture_features(lab)
        masked = [row for row in range(part.start, part.stop) if masks and image_ids[row] in masks]
        if masks and masked:
            inside = np.stack([fit_mask(masks.read(image_ids[row]), SIZE) >= _MOSTLY for row in masked])
            for name, values in mask_measures(inside, lab[np.array(masked) - part.start]).items():
                measured[name][masked] = values
        with turn:
            sums.add(pixels, y[part])

    in_threads(work, len(y), execution)
    return Look(pd.DataFrame(measured), features, sums.mean(), sums.deviation())
