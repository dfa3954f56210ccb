"""Shifted, mirrored and re-lit photographs are found; unlike ones are not."""

from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from lesionwise.data.audit.duplicates import (
    Candidate,
    duplicate_findings,
    near_duplicates,
)

N = 40


def photographs() -> np.ndarray:
    """Thumbnails of different lesions: a dark blob with its own dots and hairs."""
    rows, columns = np.mgrid[:75, :100]
    rng = np.random.default_rng(0)
    images = []
    for _ in range(N):
        blob = 80 * np.exp(
            -(((rows - 37) / rng.uniform(10, 20)) ** 2 + ((columns - 50) / rng.uniform(10, 25)) ** 2)
        )
        texture = ndimage.gaussian_filter(rng.normal(0, 60, (75, 100)), 1.2)
        images.append(180 - blob + texture)
    return np.array(images, dtype=np.float16)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("the same", lambda image: image),
        ("brighter", lambda image: image * 1.1 + 8),
        ("shifted", lambda image: np.roll(image, (6, -9), axis=(0, 1))),
        ("mirrored", lambda image: image[:, ::-1]),
        ("upside down", lambda image: image[::-1]),
        ("turned by half", lambda image: image[::-1, ::-1]),
        ("noisy", lambda image: image + np.random.default_rng(1).normal(0, 3, image.shape)),
    ],
)
def test_a_second_photograph_of_a_lesion_is_found(name: str, change: object) -> None:
    grey = photographs()
    grey[7] = change(grey[3].astype(float))  # type: ignore[operator]
    best = near_duplicates(grey, np.arange(N))[0]
    assert (best.first, best.second) == (3, 7), name
    assert best.correlation > 0.5


def test_different_lesions_are_not_reported() -> None:
    assert near_duplicates(photographs(), np.arange(N)) == []


def test_photographs_that_are_known_to_be_one_lesion_are_not_looked_for() -> None:
    grey, lesion = photographs(), np.arange(N)
    grey[7], lesion[7] = grey[3], lesion[3]
    assert near_duplicates(grey, lesion) == []
    assert near_duplicates(grey, np.zeros(N, dtype=int)) == []


IDS, DX = np.array(["a", "b", "c", "d"]), np.array(["mel", "nv", "nv", "nv"])


def test_equal_images_with_two_diagnoses_are_an_error() -> None:
    (warning,) = duplicate_findings([(1, 2)], [], image_ids=IDS, dx=DX)
    assert (warning.code, warning.severity, warning.ids) == ("D011", "warning", ("b", "c"))
    (error,) = duplicate_findings([(0, 1)], [], image_ids=IDS, dx=DX)
    assert error.severity == "error"
    assert "1 with two diagnoses" in error.message


def test_pairs_that_are_joined_already_or_identical_are_not_reported_again() -> None:
    pairs = [Candidate(0, 1, 0.9), Candidate(1, 2, 0.8), Candidate(2, 3, 0.7)]
    found = duplicate_findings([(1, 2)], pairs, image_ids=IDS, dx=DX, joined=[("d", "c")])
    near = found[-1]
    assert (near.code, near.ids) == ("D012", ("a", "b"))
    assert near.details == ({"pair": ["a", "b"], "dx": ["mel", "nv"], "correlation": 0.9},)


def test_the_search_finds_known_pairs_of_the_real_images(ham10000: Path) -> None:
    from PIL import Image  # noqa: PLC0415 (used here alone)

    from lesionwise.data.dataset import read_dataset  # noqa: PLC0415
    from lesionwise.split.groups import CONFIRMED_PAIRS  # noqa: PLC0415

    dataset = read_dataset(ham10000)
    pairs = {image for pair in CONFIRMED_PAIRS for image in pair}
    chosen = dataset.table["image_id"].isin(pairs) | (dataset.table.index % 60 == 0)
    grey = np.array(
        [
            np.asarray(Image.open(path).convert("L").resize((100, 75), Image.Resampling.BOX))
            for path, take in zip(dataset.paths, chosen, strict=True)
            if take
        ],
        dtype=np.float16,
    )
    table = dataset.table[chosen].reset_index(drop=True)
    lesion = np.unique(table["lesion_id"], return_inverse=True)[1]
    found = {
        frozenset((table["image_id"][pair.first], table["image_id"][pair.second]))
        for pair in near_duplicates(grey, lesion)
    }
    assert len(found & {frozenset(pair) for pair in CONFIRMED_PAIRS}) >= 8
    assert len(found) <= 11
