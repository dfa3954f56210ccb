"""Equal pictures are found whatever file and cache hold them, and near ones are not taken for equal."""

from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from lesionwise.data.cache import open_cache
from lesionwise.data.dataset import Dataset
from lesionwise.data.identical import identical_images
from lesionwise.execution import Execution


def drawn_pictures(folder: Path, pictures: list[np.ndarray]) -> Dataset:
    for number, picture in enumerate(pictures):
        Image.fromarray(picture).save(folder / f"i{number}.png")
    names = [f"i{number}" for number in range(len(pictures))]
    rows = pd.DataFrame(
        {"image_id": names, "lesion_id": names, "dx": "nv", "path": [f"{name}.png" for name in names]}
    )
    return Dataset(folder, "drawn", rows)


def test_identical_images_are_paired_and_near_ones_are_not_whatever_the_size_of_the_cache(
    tmp_path: Path,
) -> None:
    rng = np.random.default_rng(0)
    pictures = list(rng.integers(0, 255, (6, 80, 80, 3)).astype(np.uint8))
    pictures[4] = pictures[1]
    pictures[5] = pictures[1]
    pictures[3] = pictures[2].copy()
    pictures[3][5, 5] ^= 1  # lost at the size of a thumbnail
    dataset = drawn_pictures(tmp_path, pictures)
    for size in ((80, 80), (16, 16)):
        cache = open_cache(dataset, size, execution=Execution(cache_root=tmp_path / "cache"))
        assert identical_images(dataset, cache.pixels) == [("i1", "i4"), ("i1", "i5")]


def test_the_same_pixels_in_another_file_are_identical(tmp_path: Path) -> None:
    picture = np.random.default_rng(0).integers(0, 255, (40, 40, 3)).astype(np.uint8)
    dataset = drawn_pictures(tmp_path, [picture, picture])
    Image.fromarray(picture).save(tmp_path / "i1.png", compress_level=1)
    assert (tmp_path / "i0.png").read_bytes() != (tmp_path / "i1.png").read_bytes()
    cache = open_cache(dataset, (20, 20), execution=Execution(cache_root=tmp_path / "cache"))
    assert identical_images(dataset, cache.pixels) == [("i0", "i1")]
