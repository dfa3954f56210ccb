"""Structures made of blood: arborising and dotted vessels, lacunae, erosions."""

import math

import numpy as np

from lesionwise.data.phantom.canvas import BLOOD, KERATIN, VENOUS_BLOOD, Canvas, Colour
from lesionwise.data.phantom.fields import Field, Points, draw_blobs, draw_strokes, ramp
from lesionwise.data.phantom.pigment import spread_points

Stroke = tuple[Points, float]

_STEP_PX = 7.0
_THINNEST_PX = 1.2


def draw_arborising_vessels(canvas: Canvas, region: Field, *, trees: int, density: float) -> None:
    """Draw sharp bright red vessels that branch into ever thinner ones, from the rim inwards."""
    strokes: list[Stroke] = []
    for _ in range(trees):
        angle = canvas.between(0.0, 2.0 * math.pi)
        way = np.array((math.cos(angle), math.sin(angle)))
        start = canvas.side / 2 + way * canvas.radius * canvas.between(0.6, 1.0)
        heading = angle + math.pi + canvas.rng.normal(0.0, 0.4)
        _grow(canvas, start, heading, canvas.between(3.0, 5.0), strokes)
    lines = draw_strokes(canvas.shape, strokes) * region
    canvas.absorb(BLOOD, lines * np.float32(density))
    canvas.absorb(VENOUS_BLOOD, lines * np.float32(0.3 * density))


def draw_dotted_vessels(canvas: Canvas, region: Field, *, density: float) -> None:
    """Draw red dots in loose clusters."""
    clustered = region * ramp(canvas.noise(0.5 * canvas.radius), -0.4, 0.1)
    centres = canvas.sites(13.0, jitter=0.3, region=clustered)
    radii = canvas.rng.uniform(1.8, 3.0, len(centres))
    dots = draw_blobs(canvas.shape, centres, radii, rng=canvas.rng)
    canvas.absorb(BLOOD, dots * np.float32(density))


def draw_lacunae(canvas: Canvas, region: Field, *, spacing_px: float, ink: Colour, density: float) -> None:
    """Draw closely packed, sharply bounded pools of blood of uneven depth."""
    centres = canvas.sites(spacing_px, jitter=0.16, region=region)
    radii = spacing_px * canvas.rng.uniform(0.36, 0.60, len(centres))
    pools = draw_blobs(canvas.shape, centres, radii, rng=canvas.rng, wobble=0.3, stretch=1.06, soft_px=1.0)
    depth = 0.75 + 0.35 * np.clip(canvas.noise(1.3 * spacing_px), -1.5, 1.8)
    canvas.absorb(ink, pools * depth * np.float32(density))


def draw_erosion(canvas: Canvas, region: Field, *, density: float) -> None:
    """Draw an ulcer: a ragged red to orange area with a darker crust."""
    spots = spread_points(canvas, region, count=1)
    radii = canvas.rng.uniform(0.16, 0.30, len(spots)) * canvas.radius
    spot = draw_blobs(canvas.shape, spots, radii, rng=canvas.rng, wobble=0.4, soft_px=2.0)
    spot *= ramp(canvas.noise(11.0), -1.4, 0.4)
    canvas.absorb(BLOOD, spot * np.float32(0.9 * density))
    canvas.absorb(KERATIN, spot * np.float32(0.8 * density))
    crust = spot * ramp(canvas.noise(8.0), -0.1, 0.9)
    canvas.absorb(VENOUS_BLOOD, crust * np.float32(0.9 * density))


def _grow(canvas: Canvas, start: Points, heading: float, width: float, strokes: list[Stroke]) -> None:
    """Walk a vessel from `start`, and again from its forks, until it is too thin."""
    if width < _THINNEST_PX:
        return
    steps = int(canvas.between(0.22, 0.45) * canvas.radius / _STEP_PX) + 2
    bends = heading + np.cumsum(canvas.rng.normal(0.0, 0.34, steps))
    walk = _STEP_PX * np.stack((np.cos(bends), np.sin(bends)), axis=1)
    path = np.concatenate((start[None], start + np.cumsum(walk, axis=0)))
    strokes.append((path, width))
    fork = canvas.between(0.35, 0.75)
    _grow(canvas, path[-1], float(bends[-1]) + fork, width * 0.72, strokes)
    _grow(canvas, path[-1], float(bends[-1]) - fork, width * 0.58, strokes)
