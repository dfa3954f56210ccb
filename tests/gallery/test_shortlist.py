"""Short forms name all images that may be the nearest."""

import numpy as np
import pytest
from numpy.typing import NDArray

from lesionwise.gallery.gallery import unit_length
from lesionwise.gallery.shortlist import Shortlist

Floats = NDArray[np.float32]
IMAGES, NUMBERS = 400, 300  # more numbers than components, so that something is left out


@pytest.fixture(scope="module", params=[0, 1, 2])
def units(request: pytest.FixtureRequest) -> Floats:
    """Embeddings in clusters; some images are there twice."""
    rng = np.random.default_rng(request.param)
    centres = rng.normal(size=(12, NUMBERS))
    points = centres[rng.integers(12, size=IMAGES)] + rng.normal(0, 0.4, (IMAGES, NUMBERS))
    points[100:110] = points[:10]
    return unit_length(np.asarray(np.maximum(0, points), np.float32))


@pytest.mark.parametrize("reach", [1, 16, 100, IMAGES - 1, IMAGES])
def test_no_image_within_the_limit_is_missing(units: Floats, reach: int) -> None:
    distances = 1 - units.astype(float) @ units.T.astype(float)
    limits = []
    shortlist = Shortlist.build(units)
    for own, unit in zip(distances, units, strict=True):
        rows, limit = shortlist.look_around(unit)(reach)
        assert len(set(rows.tolist())) == len(rows) == reach
        assert set(np.flatnonzero(own < limit - 1e-6)) <= set(rows.tolist())
        limits.append(limit)
    if reach >= 100:  # a limit below the nearest other image would be of no use
        assert np.median(limits) > np.median(np.partition(distances, 1, axis=1)[:, 1])


def test_short_forms_are_never_farther_apart_than_the_embeddings(units: Floats) -> None:
    forms = Shortlist.build(units).forms.astype(float)
    assert forms.shape == (IMAGES, 129)
    apart = ((forms[:, None] - forms[None]) ** 2).sum(axis=-1) / 2
    assert (apart <= 1 - units.astype(float) @ units.T.astype(float) + 1e-6).all()
    assert apart.mean() > 0.1
