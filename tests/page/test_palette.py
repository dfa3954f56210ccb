"""The colours, checked by numbers: contrast by WCAG, and distances as eyes of all kinds see them."""

from itertools import combinations

import numpy as np
import pytest
from numpy.typing import NDArray

from lesionwise.labels import CODES
from lesionwise.page.palette import (
    DARK,
    DIAGNOSIS_COLORS,
    DIAGNOSIS_COLORS_DARK,
    LIGHT,
    PALE_INK,
    PALE_INK_ABOVE,
    SHADE,
)

# Machado et al. (2009), severity 1: what remains of linear RGB.
EYES = {
    "normal": np.eye(3),
    "protanopia": np.array(
        [[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]],
    ),
    "deuteranopia": np.array([[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]]),
    "tritanopia": np.array([[1.256, -0.077, -0.179], [-0.078, 0.931, 0.148], [0.005, 0.691, 0.304]]),
}
SCHEMES = {"light": (LIGHT, DIAGNOSIS_COLORS), "dark": (DARK, DIAGNOSIS_COLORS_DARK)}


def _linear(color: str) -> NDArray[np.float64]:
    part = np.array([int(color[start : start + 2], 16) for start in (1, 3, 5)]) / 255
    return np.where(part <= 0.04045, part / 12.92, ((part + 0.055) / 1.055) ** 2.4)


def _contrast(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    low, high = sorted(float(color @ [0.2126, 0.7152, 0.0722]) + 0.05 for color in (first, second))
    return high / low


def _oklab(linear: NDArray[np.float64]) -> NDArray[np.float64]:
    """Björn Ottosson's OKLab, https://bottosson.github.io/posts/oklab/."""
    cones = np.array(
        [[0.41222, 0.53633, 0.05145], [0.21190, 0.68070, 0.10740], [0.08830, 0.28172, 0.62998]],
    )
    lab = np.array([[0.21045, 0.79362, -0.00407], [1.97800, -2.42859, 0.45059], [0.02590, 0.78277, -0.80868]])
    return np.asarray(lab @ np.cbrt(cones @ np.clip(linear, 0, 1)))


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("code", CODES)
def test_diagnoses_stand_out_from_their_ground(scheme: str, code: str) -> None:
    tokens, colors = SCHEMES[scheme]
    for ground in ("ground", "raised"):
        assert _contrast(_linear(colors[code]), _linear(tokens[ground])) >= 3


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("eyes", EYES)
def test_diagnoses_are_told_apart_by_any_eyes(scheme: str, eyes: str) -> None:
    seen = {code: _oklab(EYES[eyes] @ _linear(color)) for code, color in SCHEMES[scheme][1].items()}
    distances = {(a, b): float(np.linalg.norm(seen[a] - seen[b])) for a, b in combinations(CODES, 2)}
    assert min(distances.values()) > 0.065, min(distances, key=lambda pair: distances[pair])


@pytest.mark.parametrize("scheme", SCHEMES)
def test_text_is_legible(scheme: str) -> None:
    tokens, _ = SCHEMES[scheme]
    for ink in ("ink", "quiet", "accent", "alert"):
        assert _contrast(_linear(tokens[ink]), _linear(tokens["ground"])) >= 4.5


@pytest.mark.parametrize("scheme", SCHEMES)
def test_numbers_are_legible_on_every_shade(scheme: str) -> None:
    tokens, _ = SCHEMES[scheme]

    def byte(color: str) -> NDArray[np.float64]:
        return np.array([int(color[start : start + 2], 16) for start in (1, 3, 5)], float)

    for share in np.linspace(0, 1, 51):
        mixed = share * byte(SHADE) + (1 - share) * byte(tokens["ground"])
        cell = _linear("#" + "".join(f"{round(value):02x}" for value in mixed))
        ink = PALE_INK if share > PALE_INK_ABOVE else tokens["ink"]
        assert _contrast(cell, _linear(ink)) >= 3.8
