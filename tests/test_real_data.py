"""The same promises on all 10,015 real images, where they are."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lesionwise.data.cache import ImageCache, open_cache
from lesionwise.data.dataset import Dataset, read_dataset
from lesionwise.data.identical import identical_images
from lesionwise.data.images import read_image
from lesionwise.errors import LeakError
from lesionwise.execution import Execution
from lesionwise.labels import CODES
from lesionwise.split.assign import make_split
from lesionwise.split.groups import lesion_groups
from lesionwise.split.split_file import Split, read_split, verify_split

REFERENCE_SHA256 = "f154f556c9433d972c0102e6456ef9facde681c1d8fcb36b9b96bf709116f2b1"


@pytest.fixture(scope="module")
def dataset(ham10000: Path) -> Dataset:
    return read_dataset(ham10000)


@pytest.fixture(scope="module")
def cache(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> ImageCache:
    return open_cache(dataset, (75, 100), execution=Execution(cache_root=tmp_path_factory.mktemp("cache")))


def test_the_table_has_the_published_counts(dataset: Dataset) -> None:
    counts = {"akiec": 327, "bcc": 514, "bkl": 1099, "df": 115, "mel": 1113, "nv": 6705, "vasc": 142}
    assert dataset.table["dx"].value_counts().to_dict() == counts
    assert dataset.table["lesion_id"].nunique() == 7470
    assert dataset.table["age"].isna().sum() == 57
    assert np.bincount(dataset.y).tolist() == [counts[code] for code in CODES]


def test_groups_are_those_of_the_reference_split(dataset: Dataset, ham10000: Path) -> None:
    reference = read_split(ham10000 / "reference_split.csv")
    groups = pd.Series(lesion_groups(dataset.table), index=dataset.table["image_id"])
    assert groups.nunique() == 7452
    assert (reference.frame.set_index("image_id")["group"] == groups).all()


def test_the_reference_split_is_accepted_and_its_fingerprint_known(dataset: Dataset, ham10000: Path) -> None:
    reference = read_split(ham10000 / "reference_split.csv")
    verify_split(reference, dataset)
    assert reference.fingerprint == REFERENCE_SHA256


def test_a_split_by_image_of_the_real_data_is_refused_by_name(dataset: Dataset) -> None:
    leaking = Split(make_split(dataset, by="image").frame, {"by": "lesion"})
    with pytest.raises(LeakError, match=r"lesion HAM_\d{7} is in .* other lesions? leaks? too"):
        verify_split(leaking, dataset)


def test_every_image_is_cached_as_it_is_served(dataset: Dataset, cache: ImageCache) -> None:
    assert cache.pixels.shape == (10_015, 75, 100, 3)
    for row in np.random.default_rng(0).choice(10_015, 25, replace=False):
        assert np.array_equal(cache.pixels[row], read_image(dataset.paths[row], (75, 100)))


def test_identical_pixels_add_no_group(dataset: Dataset, cache: ImageCache) -> None:
    pairs = identical_images(dataset, cache.pixels)
    assert np.array_equal(lesion_groups(dataset.table, pairs), lesion_groups(dataset.table))
