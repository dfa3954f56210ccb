"""Defects of public notebooks, kept so that their worth can be measured; see the recipe keys `defect_…`.

Not here: anything that an honest run uses.
"""

from dataclasses import replace

import numpy as np

from lesionwise.data.cache import ImageCache
from lesionwise.data.dataset import Dataset


def resample_before_split(
    dataset: Dataset, cache: ImageCache, *, per_class: int, seed: int
) -> tuple[Dataset, ImageCache]:
    """Draw as many images of each class with replacement, as copies that look like images of their own.

    Split afterwards, copies of one image stand in train and test, and the score measures memory.

    Args:
        dataset: The images.
        cache: Their pixels.
        per_class: Images to draw of each class.
        seed: Of the draw.

    Returns:
        Table and pixels of the copies; the id of each is that of its image with a number behind `#`.
    """
    rng = np.random.default_rng(seed)
    rows = np.concatenate(
        [rng.choice(np.flatnonzero(dataset.y == c), per_class) for c in np.unique(dataset.y)]
    )
    table = dataset.table.iloc[rows].copy()
    copy_number = table.groupby("image_id").cumcount()
    table["image_id"] = table["image_id"] + "#" + copy_number.astype(str)
    order = table["image_id"].to_numpy().argsort()
    copies = table.iloc[order].reset_index(drop=True)
    return replace(dataset, table=copies), replace(cache, pixels=cache.pixels[rows[order]])
