"""From a data folder to its description: the work of `lesionwise data explore`."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lesionwise.data.cache import ImageCache, open_cache
from lesionwise.data.dataset import Dataset, read_dataset
from lesionwise.data.images import image_sides
from lesionwise.data.masks import find_masks, fit_mask
from lesionwise.data.skin_tone import rgb_to_lab
from lesionwise.execution import Execution, usable_cores
from lesionwise.explore.abcd import MASK_MEASURES, mask_measures
from lesionwise.explore.feature_map import FeatureMap, map_features, network_features
from lesionwise.explore.pixels import (
    COLOR_MEASURES,
    SIZE,
    ClassSums,
    Look,
    color_measures,
    colour_texture_features,
    in_threads,
)
from lesionwise.explore.remarks import main_remarks
from lesionwise.gallery.gallery import Gallery
from lesionwise.recipe import Recipe

_FEATURES: Final = 60
_MOSTLY: Final = 0.5  # of a pixel: it counts as lesion


@dataclass(frozen=True)
class Exploration:
    """What was found in a data folder.

    Attributes:
        features: What the map rests on, in words.
        gallery: Whose embeddings link a point of the map with its neighbours; None for a map without links.
    """

    dataset: Dataset
    cache: ImageCache
    sizes: list[tuple[int, int]]
    look: Look
    mapped: FeatureMap | None
    features: str
    remarks: list[str]
    gallery: Gallery | None = None

    @property
    def masked(self) -> int:
        """How many images have a mask."""
        return int(self.look.measures["area"].notna().sum())

    @property
    def dx(self) -> NDArray[np.str_]:
        """Diagnosis of each image, shape (N,)."""
        return self.dataset.table["dx"].to_numpy(str)

    @property
    def lesion(self) -> NDArray[np.str_]:
        """Lesion of each image, shape (N,)."""
        return self.dataset.table["lesion_id"].to_numpy(str)


def explore_folder(
    folder: Path, *, recipe: Recipe | None = None, execution: Execution = Execution()
) -> Exploration:
    """Look at the table, the pixels and the masks of a data folder.

    Args:
        recipe: Its network, with the weights that it starts from, places the images on the map; without one,
            colour and texture do.
    """
    dataset = read_dataset(folder)
    execution.progress.on_data(dataset.about)
    cache = open_cache(dataset, SIZE, execution=execution)
    with ThreadPoolExecutor(execution.workers or usable_cores()) as pool:
        sizes = list(pool.map(image_sides, dataset.paths))
    look = look_at_images(dataset, cache, execution)
    features, words, short = look.features, f"{_FEATURES} numbers of colour and texture", "colour and texture"
    if recipe:
        features = network_features(cache.pixels, recipe, progress=execution.progress)
        words, short = (
            f"the {features.shape[1]:,} frozen features of {recipe.model}",
            "the network's features",
        )
    lesion = np.asarray(pd.factorize(dataset.table["lesion_id"])[0], np.intp)
    mapped = map_features(features, dataset.y, lesion) if len(dataset.y) > 2 else None  # noqa: PLR2004 (two axes)
    remarks = main_remarks(dataset.table, look.measures, mapped, features=short)
    return Exploration(dataset, cache, sizes, look, mapped, words, remarks)


def look_at_images(dataset: Dataset, cache: ImageCache, execution: Execution = Execution()) -> Look:
    """Measure every image of a data set, cached at `pixels.SIZE`, and its masks where there are some."""
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
