"""Shapes whose area, perimeter and symmetry are known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lesionwise.explore.abcd import MASK_MEASURES, asymmetry, mask_measures, perimeter

Y, X = np.mgrid[0:112, 0:150] + 0.5


def ellipse(height: float, width: float, turn: float = 0.0) -> np.ndarray:
    """An ellipse in the middle, by its half axes in pixels and its turn in degrees."""
    angle = np.deg2rad(turn)
    y, x = Y - 56, X - 75
    along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    return np.asarray((along / width) ** 2 + (across / height) ** 2 < 1)


def half_moon() -> np.ndarray:
    return np.asarray(ellipse(40, 40) & ~(np.hypot(Y - 56, X - 50) < 38))


@settings(max_examples=20, deadline=None)
@given(radius=st.floats(10, 50))
def test_the_perimeter_of_a_disc_is_two_pi_r(radius: float) -> None:
    assert perimeter(ellipse(radius, radius)[None])[0] == pytest.approx(2 * np.pi * radius, rel=0.04)


@settings(max_examples=20, deadline=None)
@given(turn=st.floats(0, 180))
def test_a_turn_changes_neither_perimeter_nor_asymmetry_much(turn: float) -> None:
    straight, turned = ellipse(20, 40), ellipse(20, 40, turn)
    assert perimeter(turned[None])[0] == pytest.approx(perimeter(straight[None])[0], rel=0.04)
    assert asymmetry(turned) < 0.06


def test_a_lesion_that_fills_the_image_is_closed_along_its_edge() -> None:
    assert perimeter(np.ones((1, 112, 150), bool))[0] == pytest.approx(2 * (112 + 150), rel=0.06)


def test_a_half_moon_is_more_asymmetric_than_an_ellipse_and_a_hook_more_than_both() -> None:
    hook = np.zeros((112, 150), bool)
    hook[20:90, 40:50] = hook[80:90, 40:110] = True
    values = [asymmetry(shape) for shape in (ellipse(25, 40), half_moon(), hook)]
    assert values[0] < 0.03
    assert values[1] > 0.1
    assert values[2] > 0.4


def test_measures_say_what_was_painted() -> None:
    masks = np.stack([ellipse(30, 30), ellipse(15, 45)])
    lab = np.full((2, 112, 150, 3), (70.0, 10.0, 10.0), np.float32)
    lab[masks] = (40.0, 10.0, 10.0)
    found = mask_measures(masks, lab)
    assert list(found) == list(MASK_MEASURES)
    assert found["area"][0] == pytest.approx(np.pi * 900 / (112 * 150), rel=0.01)
    assert found["border"][0] == pytest.approx(1, abs=0.06)
    assert found["border"][1] > 1.4
    assert found["colors"] == pytest.approx([0, 0], abs=1e-3)
    assert found["against_skin"] == pytest.approx([30, 30], rel=1e-4)
    speckled = lab.copy()
    speckled[:, ::2, ::2, 0] += 8
    assert (mask_measures(masks, speckled)["colors"] > 2).all()
    assert (mask_measures(masks, speckled)["detail"] > 1).all()


def test_an_empty_mask_has_no_shape() -> None:
    found = mask_measures(np.zeros((1, 112, 150), bool), np.zeros((1, 112, 150, 3), np.float32))
    assert all(np.isnan(values[0]) for values in found.values())
