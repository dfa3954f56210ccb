import numpy as np
import pytest

from lesionwise.data.skin_tone import rgb_to_lab, typology_angle

LIGHT, TAN, DARK = (224, 172, 140), (176, 126, 92), (90, 56, 40)


def _photograph(skin: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    pixels = np.clip(rng.normal(skin, 4, (60, 80, 3)), 0, 255).astype(np.uint8)
    mask = np.zeros((60, 80), bool)
    mask[20:40, 25:55] = True
    pixels[mask] = (60, 30, 30)
    return pixels, mask


def test_colours_are_those_of_the_standard() -> None:
    # Lindbloom's calculator, sRGB and D65
    known = {(255, 255, 255): (100, 0, 0), (0, 0, 0): (0, 0, 0), (255, 0, 0): (53.24, 80.09, 67.20),
             (0, 0, 255): (32.30, 79.19, -107.86), (128, 128, 128): (53.59, 0, 0)}  # fmt: skip
    for rgb, lab in known.items():
        assert rgb_to_lab(np.array(rgb, np.uint8)) == pytest.approx(np.array(lab), abs=0.02)


def test_lighter_skin_has_a_greater_angle_and_the_formula_is_kept() -> None:
    angles = [typology_angle(*_photograph(skin)) for skin in (LIGHT, TAN, DARK)]
    assert angles == sorted(angles, reverse=True)
    for skin, angle in zip((LIGHT, TAN, DARK), angles, strict=True):
        lightness, _, yellowness = rgb_to_lab(np.array(skin, np.uint8))
        assert angle == pytest.approx(np.degrees(np.arctan((lightness - 50) / yellowness)), abs=2)


def test_lesion_border_and_glare_do_not_count() -> None:
    pixels, mask = _photograph(LIGHT)
    expected = typology_angle(pixels, mask)
    pixels[:6], pixels[:, :6] = 2, 2  # a black border
    pixels[50:55, 60:70] = 254
    assert typology_angle(pixels, mask) == pytest.approx(expected, abs=1)
    assert typology_angle(pixels) == pytest.approx(expected, abs=1)  # the frame alone


def test_no_skin_and_blue_light_give_no_angle() -> None:
    pixels, mask = _photograph(LIGHT)
    assert np.isnan(typology_angle(pixels, np.ones_like(mask)))
    assert np.isnan(typology_angle(pixels[..., ::-1].copy(), mask))
