"""Each measure moves the way its name says on drawn images, and leaves a plain one alone."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from lesionwise.arrays import Pixels
from lesionwise.data.audit.quality import MEASURES, fails, measure_image, quality_findings

H, W = 225, 300


def skin(seed: int = 0) -> NDArray[np.float64]:
    """Skin with a sharp-edged brown lesion and a little texture."""
    rows, columns = np.mgrid[:H, :W]
    rng = np.random.default_rng(seed)
    radius = np.hypot(rows - H / 2, columns - W / 2) + 4 * np.sin(
        np.arctan2(rows - H / 2, columns - W / 2) * 9
    )
    lesion = (radius < 55)[..., None]
    colour = np.where(lesion, [120, 80, 60], [210, 165, 150])
    return np.asarray(colour + rng.normal(0, 3, (H, W, 1)))


def pixels(image: NDArray[np.float64]) -> Pixels:
    return np.clip(image, 0, 255).astype(np.uint8)


def dark() -> Pixels:
    return pixels(skin() * 0.5)


def blurred() -> Pixels:
    return pixels(ndimage.gaussian_filter(skin(), (5, 5, 0)))


def swapped() -> Pixels:
    return pixels(skin()[..., ::-1])


def hairy() -> Pixels:
    image = skin()
    rows, columns = np.mgrid[:H, :W]
    for start in range(-80, 240, 60):
        image[np.abs(rows - 0.6 * columns - start) < 1.5] = 40
    return pixels(image)


def ruled() -> Pixels:
    image = skin()
    for tick in range(10, W, 14):
        image[-25:, tick : tick + 3] = 30
    return pixels(image)


def vignetted() -> Pixels:
    rows, columns = np.mgrid[-1 : 1 : H * 1j, -1 : 1 : W * 1j]
    return pixels(skin() * (np.hypot(rows, columns) < 1.08)[..., None])


DRAWN = {
    "brightness": dark,
    "sharpness": blurred,
    "warmth": swapped,
    "hair": hairy,
    "ruler": ruled,
    "vignette": vignetted,
}


@pytest.mark.parametrize("measure", MEASURES, ids=lambda measure: measure.name)
def test_a_measure_reports_the_image_drawn_for_it_and_no_plain_one(measure: object) -> None:
    name = measure.name  # type: ignore[attr-defined]
    drawn, _ = measure_image(DRAWN[name]())
    plain, _ = measure_image(pixels(skin()))
    assert fails(measure, drawn[name])  # type: ignore[arg-type]
    assert not fails(measure, plain[name])  # type: ignore[arg-type]


@pytest.mark.parametrize("name", DRAWN)
def test_what_was_drawn_for_one_measure_is_reported_by_no_other(name: str) -> None:
    found, _ = measure_image(DRAWN[name]())
    assert [measure.name for measure in MEASURES if fails(measure, found[measure.name])] == [name]


def test_findings_name_the_worst_image_first() -> None:
    ids = np.array(["a", "b", "c"])
    measures = {measure.name: np.full(3, 1.5 if measure.bad == "low" else 0.0) for measure in MEASURES}
    measures["brightness"] = np.array([100.0, 200.0, 50.0])
    (finding,) = quality_findings(measures, ids)
    assert (finding.code, finding.severity, finding.ids) == ("D013", "warning", ("c", "a"))
    assert finding.details[0] == {"image_id": "c", "brightness": 50.0}


@pytest.mark.parametrize("value", [0, 127, 255])
def test_an_image_of_one_colour_is_measured_without_a_warning(value: int) -> None:
    found, grey = measure_image(np.full((H, W, 3), value, dtype=np.uint8))
    assert all(np.isfinite(number) for number in found.values())
    assert grey.shape == (75, 100)


def test_the_grey_thumbnail_is_the_mean_of_blocks() -> None:
    image = np.random.default_rng(0).integers(0, 256, (H, W, 3), dtype=np.uint8)
    _, grey = measure_image(image)
    slow = image.reshape(75, 3, 100, 3, 3).mean(axis=(1, 3)) @ np.array([0.299, 0.587, 0.114])
    np.testing.assert_allclose(grey, slow, rtol=1e-4)
