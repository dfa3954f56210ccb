"""Images that are the same picture, pixel by pixel.

Here: finding them. Not here: what shows one lesion otherwise (`audit.duplicates`, `lesionwise.split.groups`).
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np

from lesionwise.arrays import Pixels
from lesionwise.data.dataset import Dataset
from lesionwise.data.images import image_sides, read_content, read_image

COMPARE_SIZE: Final = (225, 300)
"""Height and width of a cache that is made for this alone; no answer depends on it."""


def identical_images(dataset: Dataset, pixels: Pixels) -> list[tuple[str, str]]:
    """Return pairs of image ids whose pixels are equal, enough of them to connect all equal images."""
    names = dataset.table["image_id"].tolist()
    return [(names[first], names[second]) for first, second in identical_rows(dataset.paths, pixels)]


def identical_rows(paths: Sequence[Path], pixels: Pixels) -> list[tuple[int, int]]:
    """Return pairs of rows whose pixels are equal, enough of them to connect all equal images.

    Equal cached pixels only make a candidate: tiny images of different lesions can be equal. The files
    decide, so that the answer does not depend on the size of the cache.
    """
    first_with: dict[bytes, list[int]] = {}
    pairs = []
    for row, image in enumerate(pixels):
        seen = first_with.setdefault(image[::16, ::16].tobytes(), [])  # a thumbnail decides who is compared
        alike = (other for other in seen if np.array_equal(image, pixels[other]))
        twin = next((other for other in alike if _same_picture(paths[row], paths[other])), None)
        if twin is None:
            seen.append(row)
        else:
            pairs.append((twin, row))
    return pairs


def _same_picture(first: Path, second: Path) -> bool:
    if first == second or read_content(first) == read_content(second):
        return True
    sizes = image_sides(first)[::-1], image_sides(second)[::-1]
    return sizes[0] == sizes[1] and np.array_equal(read_image(first, sizes[0]), read_image(second, sizes[0]))
