"""Maps of drawn images are tested as those of real ones are; what comes out is known beforehand."""

import io
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from conftest import NotedProgress, make_recipe
from lesionwise.data.masks import LesionMasks
from lesionwise.evaluation.scores.bootstrap import Estimate
from lesionwise.explain.cam import Method
from lesionwise.explain.measure import Explained, explain_images, lesion_shares_of, measure
from lesionwise.explain.record import Explanation, describe_explanation
from lesionwise.labels import INDEX
from lesionwise.models.network import Network

IMAGES = 24
Y = np.array([INDEX["mel"], INDEX["nv"]] * (IMAGES // 2))
IDS = np.array([f"IMAGE_{at:02d}" for at in range(IMAGES)])
_RNG = np.random.default_rng(0)
LESIONS = np.zeros((IMAGES, 32, 48), bool)
for _lesion, _row, _column in zip(
    LESIONS, _RNG.integers(7, size=IMAGES), _RNG.integers(11, size=IMAGES), strict=True
):
    _lesion[4 * _row : 4 * _row + 8, 4 * _column : 4 * _column + 8] = True
"""A square in each image: red for melanoma, blue for nevus, on black."""


@pytest.fixture
def explained(red_is_melanoma: Network) -> Explained:
    pixels = np.zeros((IMAGES, 32, 48, 3), np.uint8)
    pixels[np.arange(IMAGES), ..., np.array([0, 2] * (IMAGES // 2))] = 255 * LESIONS
    y_prob = np.full((IMAGES, 7), 0.1)
    y_prob[np.arange(IMAGES), Y] = 0.4
    return explain_images(
        red_is_melanoma, make_recipe(image_size=[32, 48]), pixels, np.arange(IMAGES), y_prob
    )


def _png(mask: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(mask.astype(np.uint8) * 255).save(buffer, "PNG")
    return buffer.getvalue()


def _masks(drawn: np.ndarray) -> LesionMasks:
    pairs = zip(IDS.tolist(), drawn, strict=False)
    return LesionMasks({name: partial(_png, mask) for name, mask in pairs}, Path("drawn"))


def _measured(explained: Explained, masks: LesionMasks | None) -> Explanation:
    return measure(explained, IDS, Y, IDS, masks)


def test_the_likeliest_class_is_explained(explained: Explained) -> None:
    assert explained.method is Method.cam
    assert explained.classes.tolist() == Y.tolist()
    assert (explained.confidence > 1 / 7).all()
    assert explained.maps.shape == (IMAGES, 8, 12)
    at_lesion = LESIONS[:, ::4, ::4]
    assert (explained.maps.numpy()[at_lesion] > 0).all()
    assert (explained.maps.numpy()[~at_lesion] <= 1e-6).all()


def test_maps_of_a_network_that_sees_the_lesion_lie_on_it_and_those_of_others_do_not(
    explained: Explained,
) -> None:
    pointing = _measured(explained, _masks(LESIONS)).pointing
    assert pointing is not None
    assert pointing.images == IMAGES
    assert pointing.hit_rate.value == 1
    assert pointing.area.value == pytest.approx(64 / (32 * 48))
    assert pointing.ratio.low > 10
    assert pointing.ratio_of_others.high < pointing.ratio.low


def test_masks_that_lie_elsewhere_are_missed(explained: Explained) -> None:
    pointing = _measured(explained, _masks(LESIONS[:, ::-1, ::-1])).pointing
    assert pointing is not None
    assert pointing.ratio.high < 5


def test_images_without_a_mask_are_not_counted(explained: Explained) -> None:
    shares = lesion_shares_of(explained, IDS, _masks(LESIONS[:10]))
    assert np.isfinite(shares.own[:10]).all()
    assert np.isnan(shares.own[10:]).all()
    found = _measured(explained, _masks(LESIONS[:10]))
    assert found.pointing is not None
    assert found.pointing.images == 10
    assert found.by_diagnosis == {}  # five lesions of each are too few
    assert set(_measured(explained, _masks(LESIONS)).by_diagnosis) == {"mel", "nv"}
    assert np.isnan(
        lesion_shares_of(explained, IDS, _masks(LESIONS[:1])).own
    ).all()  # none to exchange it with


def test_without_masks_the_answer_still_tells_whether_the_map_matters(explained: Explained) -> None:
    noted = NotedProgress()
    found = measure(explained, IDS, Y, IDS, None, progress=noted)
    assert (found.pointing, found.by_diagnosis, found.sample) == (None, {}, IMAGES)
    assert {len(curve) for curve in found.curves.values()} == {11}
    for name, gain in found.gains.items():
        assert gain.low > 0, name
    assert found.cascade[-1]["layers"] == "all layers"
    assert noted.work[0][0] == "painting places over"
    assert noted.work[-1][0] == "shuffling weights: all layers"
    assert Explanation.from_json(found.to_json()) == found


def test_a_gain_that_could_be_chance_is_not_called_one(explained: Explained) -> None:
    found = measure(explained, IDS, Y, IDS, None)
    unclear = {**found.gains, "insertion-other": Estimate(0.01, -0.02, 0.04)}
    said = describe_explanation(replace(found, gains=unclear))[0]
    assert said.startswith("Painting over what the map shows first lowers certainty more than a random order")
    assert "and not clearly more than the order of another image's map, by 0.01 (-0.02 to 0.04)." in said
    worse = {**found.gains, "deletion-random": Estimate(-0.10, -0.12, -0.08)}
    said = describe_explanation(replace(found, gains=worse))[0]
    assert "lowers certainty less than a random order, by 0.10 (0.08 to 0.12), and" in said
