"""Structures made of melanin: network, globules, dots, streaks, veil, regression, nests.

Each function draws one structure on a canvas; the words are those of the dermatoscopy
consensus (Kittler et al., J Am Acad Dermatol 74:1093, 2016, doi 10.1016/j.jaad.2015.12.038).
"""

import math

import numpy as np

from lesionwise.data.phantom.canvas import DEEP_MELANIN, MELANIN, SOOT, Canvas, Colour
from lesionwise.data.phantom.fields import Field, Points, draw_blobs, draw_strokes, ramp
from lesionwise.data.phantom.outline import border

VEIL: Colour = (0.52, 0.54, 0.64)
SCAR: Colour = (0.93, 0.84, 0.84)


def honeycomb(canvas: Canvas, *, spacing_px: float, disorder: float, width: float, uneven: float) -> Field:
    """Return the lines of a pigment network: 1 on the lines, 0 in the holes.

    Three plane waves at 120 degrees have their troughs on a honeycomb; bending the waves
    with noise turns the drawing-board lattice into a grown one.

    Args:
        disorder: Bend of the waves in radians; below 1 is a regular network, 2 an atypical one.
        width: Share of lines against holes; -0.5 is delicate, 0.5 is coarse.
        uneven: Standard deviation of the width over the lesion.
    """
    turn = canvas.between(0.0, math.pi)
    phases = []
    for angle in (turn, turn + 2.0 * math.pi / 3.0):
        wave = (canvas.x * math.cos(angle) + canvas.y * math.sin(angle)) * (
            2.0 * math.pi / (0.866 * spacing_px)
        )
        phases.append(wave + disorder * canvas.noise(2.5 * spacing_px))
    first, second = phases
    lattice = np.cos(first) + np.cos(second) + np.cos(first + second)
    level = width + uneven * canvas.noise(3.0 * spacing_px)
    strength = np.clip(0.85 + (0.15 + 0.4 * uneven) * canvas.noise(4.0 * spacing_px), 0.0, 1.3)
    lines: Field = ramp(level - lattice, -0.2, 1.1) * strength
    return lines


def globules(
    canvas: Canvas, region: Field, *, spacing_px: float, radius_px: float, irregular: float
) -> Field:
    """Return round clods of pigment; `irregular` in [0, 1] scatters their places and sizes."""
    centres = canvas.sites(spacing_px, jitter=0.08 + 0.4 * irregular, region=region)
    keep = canvas.rng.random(len(centres)) > 0.5 * irregular
    centres = centres[keep]
    spread = 0.12 + 0.45 * irregular
    radii = radius_px * np.exp(canvas.rng.normal(0.0, spread, len(centres)))
    return draw_blobs(canvas.shape, centres, radii, rng=canvas.rng, wobble=0.2 + 0.3 * irregular, soft_px=1.2)


def draw_streaks(canvas: Canvas, depth: Field, *, density: float) -> None:
    """Draw radial lines with bulbous ends over one part of the border (streaks, pseudopods)."""
    middle, spread = canvas.between(0.0, 2.0 * math.pi), canvas.between(0.6, 1.3)
    strokes, ends, sizes = [], [], []
    for angle in canvas.rng.uniform(middle - spread, middle + spread, int(22 * spread)):
        start = float(border(canvas, depth, np.array([angle]))[0]) - canvas.between(4.0, 12.0)
        length = canvas.between(0.10, 0.24) * canvas.radius + 6.0
        way = np.array((math.cos(angle), math.sin(angle)))
        path = canvas.side / 2 + np.outer(np.linspace(start, start + length, 4), way)
        width = canvas.between(2.0, 4.2)
        strokes.append((path, width))
        ends.append(path[-1])
        sizes.append(width * canvas.between(0.6, 1.2))
    lines = draw_strokes(canvas.shape, strokes, soft_px=1.2)
    bulbs = draw_blobs(canvas.shape, np.array(ends), sizes, rng=canvas.rng, soft_px=1.2)
    canvas.absorb(MELANIN, np.maximum(lines, bulbs) * np.float32(density))


def draw_veil(canvas: Canvas, region: Field, *, opacity: float) -> None:
    """Draw an irregular structureless blue area with a white ground-glass haze over it."""
    patch = ramp(canvas.noise(canvas.radius * 0.6) + 0.4 * canvas.noise(22.0), -0.3, 1.6) * region
    canvas.absorb(DEEP_MELANIN, patch * np.float32(0.7))
    canvas.cover(VEIL, patch * np.float32(opacity))


def draw_regression(canvas: Canvas, region: Field, *, opacity: float) -> None:
    """Draw scar-like white areas with grey pepper in and around them."""
    patch = ramp(canvas.noise(canvas.radius * 0.5) + 0.3 * canvas.noise(14.0), 0.2, 1.7) * region
    canvas.cover(SCAR, patch * np.float32(opacity))
    draw_pepper(canvas, patch, density=0.6)


def draw_pepper(canvas: Canvas, region: Field, *, density: float) -> None:
    """Draw many fine blue-grey dots."""
    centres = canvas.sites(9.0, jitter=0.4, region=region)
    radii = canvas.rng.uniform(1.0, 2.2, len(centres))
    dots = draw_blobs(canvas.shape, centres, radii, rng=canvas.rng)
    canvas.absorb(DEEP_MELANIN, dots * np.float32(density))


def draw_nests(canvas: Canvas, region: Field, *, count: int, density: float) -> None:
    """Draw large ovoid blue-grey clods, well away from one another."""
    centres = spread_points(canvas, region, count=count)
    radii = canvas.rng.uniform(0.09, 0.19, len(centres)) * canvas.radius + 4.0
    clods = draw_blobs(canvas.shape, centres, radii, rng=canvas.rng, wobble=0.3, stretch=1.2, soft_px=2.5)
    clods *= np.clip(0.85 + 0.22 * canvas.noise(12.0), 0.3, 1.3)
    canvas.absorb(DEEP_MELANIN, clods * np.float32(density))
    canvas.absorb(SOOT, clods * np.float32(0.12 * density))


def draw_leaves(canvas: Canvas, depth: Field, *, density: float) -> None:
    """Draw leaf-like areas: brown-grey fingers that leave a common base at the border."""
    middle = canvas.between(0.0, 2.0 * math.pi)
    base = float(border(canvas, depth, np.array([middle]))[0]) - 0.30 * canvas.radius
    origin = canvas.side / 2 + base * np.array((math.cos(middle), math.sin(middle)))
    strokes, tips, sizes = [], [], []
    for angle in middle + np.linspace(-1.1, 1.1, 6) + canvas.rng.normal(0.0, 0.12, 6):
        length = canvas.between(0.28, 0.45) * canvas.radius
        tip = origin + length * np.array((math.cos(angle), math.sin(angle)))
        strokes.append((np.stack((origin, tip)), 0.05 * canvas.radius + 2.0))
        tips.append(tip)
        sizes.append(0.075 * canvas.radius + 2.0)
    fingers = draw_strokes(canvas.shape, strokes, soft_px=2.0)
    lobes = draw_blobs(
        canvas.shape, np.array(tips), sizes, rng=canvas.rng, wobble=0.3, stretch=1.2, soft_px=2.0
    )
    leaf = np.maximum(fingers, lobes) * np.float32(density)
    canvas.absorb(MELANIN, leaf * np.float32(0.6))
    canvas.absorb(DEEP_MELANIN, leaf * np.float32(0.6))


def spread_points(canvas: Canvas, region: Field, *, count: int) -> Points:
    """Return up to `count` points inside a region, no two of them close together."""
    sites = canvas.sites(0.42 * canvas.radius, jitter=0.2, region=region)
    return canvas.rng.permutation(sites)[:count]
