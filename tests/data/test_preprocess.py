"""Drawn images only: a tinted card, hairs on skin, a round view on black."""

import io
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from conftest import make_recipe
from lesionwise.data.cache import open_cache
from lesionwise.data.dataset import Dataset
from lesionwise.data.images import IMAGE_RULE, image_rule, read_image
from lesionwise.data.preprocess import (
    COLOR_CONSTANCY,
    FIELD_OF_VIEW,
    HAIR_REMOVAL,
    STEPS,
    crop_field_of_view,
    hair_mask,
    preprocess,
    recipe_steps,
    remove_hair,
    shades_of_gray,
    verify_steps,
)
from lesionwise.errors import MissingExtraError, RecipeError
from lesionwise.execution import Execution

SIZE = (112, 150)
ALL = tuple(STEPS.values())
SKIN, LESION = (214, 170, 150), (110, 60, 40)


def skin_with_mole() -> Image.Image:
    image = Image.new("RGB", SIZE[::-1], SKIN)
    ImageDraw.Draw(image).ellipse((60, 40, 95, 75), fill=LESION)
    return image


def round_view(height: int = 450, width: int = 600, radius: float = 290) -> np.ndarray:
    """Skin in a circle, black elsewhere."""
    y, x = np.mgrid[0:height, 0:width] + 0.5
    inside = np.hypot(y - height / 2, x - width / 2) < radius
    return np.where(inside[..., None], np.array(SKIN, np.uint8), np.uint8(0)).astype(np.uint8)


def encode(pixels: np.ndarray, kind: str = "JPEG") -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, quality=95)
    return buffer.getvalue()


def slow_shades_of_gray(pixels: np.ndarray) -> np.ndarray:
    """The formula of Finlayson and Trezzi, pixel by pixel."""
    light = [(pixels[..., channel].astype(float) ** 6).mean() ** (1 / 6) for channel in range(3)]
    unit = np.array(light) / np.linalg.norm(light)
    turned: np.ndarray = np.clip(np.rint(pixels / (unit * np.sqrt(3))), 0, 255).astype(np.uint8)
    return turned


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_shades_of_gray_is_the_published_formula(seed: int) -> None:
    pixels = np.random.default_rng(seed).integers(1, 256, (12, 16, 3), dtype=np.uint8)
    assert np.abs(shades_of_gray(pixels).astype(int) - slow_shades_of_gray(pixels).astype(int)).max() <= 1


def test_a_card_under_any_light_turns_grey() -> None:
    card = np.full((20, 20, 3), (200, 140, 90), np.uint8)
    assert np.ptp(shades_of_gray(card), axis=2).max() <= 1


def test_one_scene_under_two_lights_has_one_set_of_hues_afterwards() -> None:
    scene = np.asarray(skin_with_mole()).astype(float) * 0.8
    lights = [np.clip(scene * gain, 0, 255).astype(np.uint8) for gain in ((1, 0.8, 0.9), (0.8, 1, 1.2))]
    before, after = (
        np.abs(hue(a) - hue(b)).mean() for a, b in (lights, [shades_of_gray(light) for light in lights])
    )
    assert after < 0.05 * before


def hue(pixels: np.ndarray) -> np.ndarray:
    """Each channel's part of the sum: what is left when brightness is taken out."""
    shares: np.ndarray = pixels / pixels.sum(axis=2, keepdims=True)
    return shares


def test_a_black_image_stays_black() -> None:
    assert not shades_of_gray(np.zeros((8, 8, 3), np.uint8)).any()


def test_hairs_are_painted_over_and_the_mole_is_left() -> None:
    pytest.importorskip("cv2")
    bare = skin_with_mole()
    hairy = bare.copy()
    for line in ((5, 5, 140, 60), (20, 100, 120, 20), (10, 60, 140, 90)):
        ImageDraw.Draw(hairy).line(line, fill=(60, 40, 30), width=1)
    clean = remove_hair(np.asarray(hairy)).astype(int)
    error_before = np.abs(np.asarray(hairy).astype(int) - np.asarray(bare)).mean()
    assert np.abs(clean - np.asarray(bare)).mean() < 0.25 * error_before
    assert tuple(clean[57, 77]) == pytest.approx(LESION, abs=12)


def test_hair_removal_gives_the_same_bytes_with_opencv_4_and_5() -> None:
    """OpenCV 5 changed warping and cubic resizing; the functions used here answer as those of 4.12 do."""
    pytest.importorskip("cv2")
    image = skin_with_mole()
    for line in ((5, 5, 140, 60), (20, 100, 120, 20), (10, 60, 140, 90)):
        ImageDraw.Draw(image).line(line, fill=(60, 40, 30), width=1)
    grain = np.random.default_rng(0).integers(-6, 7, (*SIZE, 3))
    hairy = np.clip(np.asarray(image) + grain, 0, 255).astype(np.uint8)
    found = zlib.crc32(hair_mask(hairy).tobytes()), zlib.crc32(remove_hair(hairy).tobytes())
    assert found == (2754251590, 3857153951)


def test_dots_and_a_bare_mole_are_no_hair() -> None:
    pytest.importorskip("cv2")
    image = skin_with_mole()
    for x in range(10, 145, 12):
        ImageDraw.Draw(image).ellipse((x, 15, x + 2, 17), fill=LESION)
    pixels = np.asarray(image)
    assert not hair_mask(pixels).any()
    assert np.array_equal(remove_hair(pixels), pixels)


def test_hair_removal_without_opencv_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(MissingExtraError, match=r"opencv.*lesionwise\[hair\]"):
        remove_hair(np.asarray(skin_with_mole()))


@pytest.mark.parametrize(("radius", "kept"), [(290, 0.8), (330, 0.9), (225, 0.62)])
def test_the_crop_of_a_round_view_has_no_black_corner_and_no_less_than_needed(
    radius: float, kept: float
) -> None:
    cropped = crop_field_of_view(round_view(radius=radius))
    corners = cropped[:12, :12], cropped[:12, -12:], cropped[-12:, :12], cropped[-12:, -12:]
    assert np.median([corner.mean() for corner in corners]) > 100
    assert cropped.shape[0] / 450 == pytest.approx(kept, abs=0.1)


def test_black_bars_go_and_the_skin_stays() -> None:
    barred = np.full((300, 400, 3), SKIN, np.uint8)
    barred[:, :60] = barred[:, -40:] = 0
    cropped = crop_field_of_view(barred)
    assert cropped.shape[1] == pytest.approx(300, abs=4)
    assert cropped.min() > 0


def test_an_image_without_a_border_is_not_touched() -> None:
    for pixels in (
        np.asarray(skin_with_mole()),
        np.zeros((100, 120, 3), np.uint8),
        np.full((8, 8, 3), 200, np.uint8),
    ):
        assert np.array_equal(crop_field_of_view(pixels), pixels)


def test_one_dark_corner_is_a_lesion_and_not_a_border() -> None:
    pixels = np.full((300, 400, 3), SKIN, np.uint8)
    pixels[:80, :90] = 5
    assert crop_field_of_view(pixels).shape == pixels.shape


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), height=st.integers(8, 90), width=st.integers(8, 90))
def test_a_crop_keeps_at_least_half_of_anything(seed: int, height: int, width: int) -> None:
    rng = np.random.default_rng(seed)
    pixels = (
        np.where(rng.random((height, width, 1)) < rng.random(), 0, 220).astype(np.uint8).repeat(3, axis=2)
    )
    cropped = crop_field_of_view(pixels)
    assert cropped.shape[0] >= height / 2
    assert cropped.shape[1] >= width / 2


def test_the_crop_is_decoded_sharply_enough_to_fill_the_target() -> None:
    fine = round_view()
    stripes = (np.arange(600) // 6 % 2 * 60).astype(np.uint8)
    fine = np.where(fine > 0, np.clip(fine - stripes[:, None], 1, 255), 0).astype(np.uint8)
    read = read_image(encode(fine), SIZE, steps=(FIELD_OF_VIEW,))
    assert read.shape == (*SIZE, 3)
    assert read.min() > 40
    assert read[56].astype(float).std() > 15  # 6 px stripes at 0.8 of 600 px are 1.9 px wide at 150


@pytest.mark.parametrize("step", ALL)
def test_each_step_is_a_pure_function_that_keeps_the_shape(step: str) -> None:
    if step == HAIR_REMOVAL:
        pytest.importorskip("cv2")
    content = encode(round_view())
    first = read_image(content, SIZE, steps=(step,))
    assert first.shape == (*SIZE, 3)
    assert first.dtype == np.uint8
    assert np.array_equal(first, read_image(content, SIZE, steps=(step,)))
    pixels = np.asarray(skin_with_mole())
    before = pixels.copy()
    preprocess(pixels, (step,))
    assert np.array_equal(pixels, before)


def test_a_recipe_key_names_its_step_and_the_order_is_fixed() -> None:
    assert recipe_steps(make_recipe()) == ()
    for key, name in STEPS.items():
        assert recipe_steps(make_recipe(**{key: True})) == (name,)
    assert recipe_steps(make_recipe(**dict.fromkeys(reversed(STEPS), True))) == ALL


def test_unknown_repeated_and_disordered_steps_are_refused() -> None:
    verify_steps(())
    verify_steps(ALL)
    for steps in (("sharpen-1",), (COLOR_CONSTANCY, FIELD_OF_VIEW), (HAIR_REMOVAL, HAIR_REMOVAL)):
        with pytest.raises(RecipeError, match="Expected preprocessing to be of field-of-view-1"):
            verify_steps(steps)


def test_the_rule_names_the_steps_and_is_the_old_one_without_any() -> None:
    assert image_rule() == IMAGE_RULE
    assert image_rule((COLOR_CONSTANCY,)) == f"{IMAGE_RULE}+{COLOR_CONSTANCY}"


def test_a_cache_holds_what_read_image_gives_with_the_same_steps(drawn: Dataset, tmp_path: Path) -> None:
    steps = (FIELD_OF_VIEW, COLOR_CONSTANCY)
    plain = open_cache(drawn, (24, 32), execution=Execution(cache_root=tmp_path))
    cache = open_cache(drawn, (24, 32), steps=steps, execution=Execution(cache_root=tmp_path))
    assert cache.path != plain.path
    assert cache.fingerprint == plain.fingerprint  # it is the same data
    assert not np.array_equal(cache.pixels, plain.pixels)
    for row in (0, 9):
        assert np.array_equal(cache.pixels[row], read_image(drawn.paths[row], (24, 32), steps=steps))
