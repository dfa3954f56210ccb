"""Defects of public notebooks, reproduced to measure their effect; see the recipe keys `defect_…`.

No honest run uses this. A copy is named after its image: `ISIC_0024306#1` is its second copy,
`ISIC_0024306#1~2` the second augmented copy of that.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from lesionwise.arrays import Pixels
from lesionwise.data.cache import ImageCache
from lesionwise.data.dataset import Dataset
from lesionwise.errors import SplitError
from lesionwise.recipe import Recipe

_MARK: Final = "#"
_AUGMENTED: Final = "~"
_BATCH: Final = 256


def draw_copies(dataset: Dataset, *, per_class: int, seed: int) -> list[str]:
    """Return the names of copies: the same number of images of each class, drawn with replacement.

    Copies look like other images. If the split comes afterwards, copies of one image are in train and in
    test, and scores measure memory.
    """
    rng = np.random.default_rng(seed)
    rows = np.concatenate(
        [rng.choice(np.flatnonzero(dataset.y == c), per_class) for c in np.unique(dataset.y)]
    )
    drawn = dataset.table["image_id"].iloc[rows]
    return (drawn + _MARK + drawn.groupby(drawn).cumcount().astype(str)).tolist()


def augmented_copies(copies: Sequence[str], times: int) -> list[str]:
    """Return the names of copies, followed by those of `times` augmented copies of each."""
    return [*copies, *(f"{name}{_AUGMENTED}{number}" for number in range(1, times + 1) for name in copies)]


def names_copies(image_ids: Sequence[str], dataset: Dataset) -> bool:
    """Return whether these are names of copies of the images of a data set."""
    known = set(dataset.table["image_id"])
    return any(_MARK in name and name not in known for name in image_ids)


def image_of(name: str) -> str:
    """Return the id of the image of a copy."""
    return name.rpartition(_MARK)[0]


def copied_dataset(dataset: Dataset, image_ids: Sequence[str]) -> tuple[Dataset, NDArray[np.intp]]:
    """Return the table of copies, sorted by name, and the row of the image of each, shape (N,).

    Raises:
        SplitError: If the data lack the image of a copy.
    """
    names = sorted(image_ids)
    row = {image_id: number for number, image_id in enumerate(dataset.table["image_id"])}
    unknown = [name for name in names if image_of(name) not in row]
    if unknown:
        raise SplitError(f"{unknown[0]}: is a copy of an image that the data do not have.")
    rows = np.array([row[image_of(name)] for name in names], dtype=np.intp)
    table = dataset.table.iloc[rows].assign(image_id=names).reset_index(drop=True)
    return replace(dataset, table=table), rows


def make_copies(dataset: Dataset, cache: ImageCache, image_ids: Sequence[str]) -> tuple[Dataset, ImageCache]:
    """Return table and pixels of copies, sorted by name; a name always gives the same pixels."""
    copies, rows = copied_dataset(dataset, image_ids)
    pixels = cache.pixels[rows]
    _augment(pixels, copies.table["image_id"].tolist())
    return copies, replace(cache, pixels=pixels)


def _augment(pixels: Pixels, names: Sequence[str]) -> None:
    """Change the pixels of the augmented copies in place, as the notebooks' ImageDataGenerator does."""
    import torch  # noqa: PLC0415 (a split is made where torch is not installed)

    from lesionwise.training.step.augment import augment  # noqa: PLC0415 (the same)

    size = pixels.shape[1], pixels.shape[2]
    changes = {"rotation": 10, "zoom": (0.9, 1.1), "zoom_apart": True, "shift": 0.1}
    recipe = Recipe.model_validate({"model": "seed-cnn", "image_size": size, "epochs": 1, **changes})
    changed = np.array([row for row, name in enumerate(names) if _AUGMENTED in name.rpartition(_MARK)[2]])
    for batch in np.array_split(changed, -(-len(changed) // _BATCH)) if len(changed) else []:
        samples = [crc32(names[row].encode()) for row in batch]
        images = augment(torch.from_numpy(pixels[batch]), recipe, seed=0, epoch=0, samples=samples)
        pixels[batch] = images.mul(255).round().byte().permute(0, 2, 3, 1).numpy()
