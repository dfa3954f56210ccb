"""From a data folder to what is known of it: what `lesionwise data explore` looks at, in order.

Here: the order of the steps. Not here: the steps, and the page (`page`).
"""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lesionwise.data.cache import ImageCache, open_cache
from lesionwise.data.dataset import Dataset, read_dataset
from lesionwise.data.images import image_sides
from lesionwise.data.workspace import usable_cores
from lesionwise.execution import Execution
from lesionwise.explore.feature_map import FeatureMap, map_features
from lesionwise.explore.look import look_at_images
from lesionwise.explore.pixels import SIZE, Look
from lesionwise.explore.remarks import main_remarks
from lesionwise.recipe import Recipe


@dataclass(frozen=True)
class Exploration:
    """What was found in a data folder.

    Attributes:
        dataset: The table.
        cache: Its pixels.
        sizes: Width and height of each image file, in pixels.
        look: What the pixels say.
        mapped: The map of features; None for fewer than three images.
        features: What the map rests on, in words.
        remarks: What stands out.
    """

    dataset: Dataset
    cache: ImageCache
    sizes: list[tuple[int, int]]
    look: Look
    mapped: FeatureMap | None
    features: str
    remarks: list[str]

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
    folder: Path,
    *,
    recipe: Recipe | None = None,
    execution: Execution = Execution(),
) -> Exploration:
    """Look at the table, the pixels and the masks of a data folder.

    Args:
        recipe: Its network, with the weights that it starts from, places the images on the map; without one,
            colour and texture do.

    Raises:
        DataError: If the folder cannot be read.
        RecipeError: If the recipe starts from fresh weights.
    """
    dataset = read_dataset(folder)
    cache = open_cache(dataset, SIZE, execution=execution)
    sizes = _sizes(dataset.paths, execution.workers)
    look = look_at_images(dataset, cache, execution)
    features, told, short = look.features, "60 numbers of colour and texture", "colour and texture"
    if recipe:
        from lesionwise.explore.network import network_features  # noqa: PLC0415 (needs torch)

        features = network_features(cache.pixels, recipe, progress=execution.progress)
        told, short = f"the {features.shape[1]:,} frozen features of {recipe.model}", "the network's features"
    lesion = np.asarray(pd.factorize(dataset.table["lesion_id"])[0], np.intp)
    mapped = map_features(features, dataset.y, lesion) if len(dataset.y) > 2 else None  # noqa: PLR2004 (two axes)
    remarks = main_remarks(dataset.table, look.measures, mapped, features=short)
    return Exploration(dataset, cache, sizes, look, mapped, told, remarks)


def _sizes(paths: Iterable[Path], workers: int | None) -> list[tuple[int, int]]:
    """Return width and height of each file, from its header."""
    with ThreadPoolExecutor(workers or usable_cores()) as pool:
        return list(pool.map(image_sides, paths))
