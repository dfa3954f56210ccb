"""Structures of dermatoscopy: of melanin, of blood, and of the horny layer and scars.

Each function draws one structure on a canvas; the words are those of the dermatoscopy
consensus (Kittler et al., J Am Acad Dermatol 74:1093, 2016, doi 10.1016/j.jaad.2015.12.038).
"""

import math

import numpy as np

from lesionwise.data.phantom.canvas import Canvas, Colour, Ink, border
from lesionwise.data.phantom.fields import Field, Points, draw_blobs, draw_strokes, ramp

VEIL: Colour = (0.52, 0.54, 0.64)
SCAR: Colour = (0.93, 0.84, 0.84)
CYST: Colour = (0.97, 0.93, 0.84)
SCALE: Colour = (0.92, 0.85, 0.80)
SCAR_WHITE: Colour = (0.96, 0.89, 0.88)
FOLLICLE: Colour = (0.90, 0.78, 0.70)
Stroke = tuple[Points, float]

_STEP_PX = 7.0
_THINNEST_PX = 1.2


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
    canvas.absorb(Ink.MELANIN, np.maximum(lines, bulbs), density)


def draw_veil(canvas: Canvas, region: Field, *, opacity: float) -> None:
    """Draw an irregular structureless blue area with a white ground-glass haze over it."""
    patch = ramp(canvas.noise(canvas.radius * 0.6) + 0.4 * canvas.noise(22.0), -0.3, 1.6) * region
    canvas.absorb(Ink.DEEP_MELANIN, patch, 0.7)
    canvas.cover(VEIL, patch, opacity)


def draw_regression(canvas: Canvas, region: Field, *, opacity: float) -> None:
    """Draw scar-like white areas with grey pepper in and around them."""
    patch = ramp(canvas.noise(canvas.radius * 0.5) + 0.3 * canvas.noise(14.0), 0.2, 1.7) * region
    canvas.cover(SCAR, patch, opacity)
    draw_pepper(canvas, patch, density=0.6)


def draw_pepper(canvas: Canvas, region: Field, *, density: float) -> None:
    """Draw many fine blue-grey dots."""
    centres = canvas.sites(9.0, jitter=0.4, region=region)
    radii = canvas.rng.uniform(1.0, 2.2, len(centres))
    dots = draw_blobs(canvas.shape, centres, radii, rng=canvas.rng)
    canvas.absorb(Ink.DEEP_MELANIN, dots, density)


def draw_nests(canvas: Canvas, region: Field, *, count: int, density: float) -> None:
    """Draw large ovoid blue-grey clods, well away from one another."""
    centres = spread_points(canvas, region, count=count)
    radii = canvas.rng.uniform(0.09, 0.19, len(centres)) * canvas.radius + 4.0
    clods = draw_blobs(canvas.shape, centres, radii, rng=canvas.rng, wobble=0.3, stretch=1.2, soft_px=2.5)
    clods *= np.clip(0.85 + 0.22 * canvas.noise(12.0), 0.3, 1.3)
    canvas.absorb(Ink.DEEP_MELANIN, clods, density)
    canvas.absorb(Ink.SOOT, clods, 0.12 * density)


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
    canvas.absorb(Ink.MELANIN, leaf, 0.6)
    canvas.absorb(Ink.DEEP_MELANIN, leaf, 0.6)


def spread_points(canvas: Canvas, region: Field, *, count: int) -> Points:
    """Return up to `count` points inside a region, no two of them close together."""
    sites = canvas.sites(0.42 * canvas.radius, jitter=0.2, region=region)
    return canvas.rng.permutation(sites)[:count]


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
    canvas.absorb(Ink.BLOOD, lines, density)
    canvas.absorb(Ink.VENOUS_BLOOD, lines, 0.3 * density)


def draw_dotted_vessels(canvas: Canvas, region: Field, *, density: float) -> None:
    """Draw red dots in loose clusters."""
    clustered = region * ramp(canvas.noise(0.5 * canvas.radius), -0.4, 0.1)
    centres = canvas.sites(13.0, jitter=0.3, region=clustered)
    radii = canvas.rng.uniform(1.8, 3.0, len(centres))
    dots = draw_blobs(canvas.shape, centres, radii, rng=canvas.rng)
    canvas.absorb(Ink.BLOOD, dots, density)


def draw_lacunae(canvas: Canvas, region: Field, *, spacing_px: float, ink: Colour, density: float) -> None:
    """Draw closely packed, sharply bounded pools of blood of uneven depth."""
    centres = canvas.sites(spacing_px, jitter=0.16, region=region)
    radii = spacing_px * canvas.rng.uniform(0.36, 0.60, len(centres))
    pools = draw_blobs(canvas.shape, centres, radii, rng=canvas.rng, wobble=0.3, stretch=1.06, soft_px=1.0)
    depth = 0.75 + 0.35 * np.clip(canvas.noise(1.3 * spacing_px), -1.5, 1.8)
    canvas.absorb(ink, pools * depth, density)


def draw_erosion(canvas: Canvas, region: Field, *, density: float) -> None:
    """Draw an ulcer: a ragged red to orange area with a darker crust."""
    spots = spread_points(canvas, region, count=1)
    radii = canvas.rng.uniform(0.16, 0.30, len(spots)) * canvas.radius
    spot = draw_blobs(canvas.shape, spots, radii, rng=canvas.rng, wobble=0.4, soft_px=2.0)
    spot *= ramp(canvas.noise(11.0), -1.4, 0.4)
    canvas.absorb(Ink.BLOOD, spot, 0.9 * density)
    canvas.absorb(Ink.KERATIN, spot, 0.8 * density)
    crust = spot * ramp(canvas.noise(8.0), -0.1, 0.9)
    canvas.absorb(Ink.VENOUS_BLOOD, crust, 0.9 * density)


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


def draw_milia(canvas: Canvas, region: Field, *, spacing_px: float, opacity: float) -> None:
    """Draw milia-like cysts: round, bright, yellowish-white spots with a soft edge."""
    centres = canvas.sites(spacing_px, jitter=0.35, region=region)
    radii = canvas.rng.uniform(3.0, 8.0, len(centres))
    glow = draw_blobs(canvas.shape, centres, 1.35 * radii, rng=canvas.rng)
    core = draw_blobs(canvas.shape, centres, 0.8 * radii, rng=canvas.rng)
    canvas.cover(CYST, 0.45 * glow + 0.55 * core, opacity)


def draw_comedones(canvas: Canvas, region: Field, *, spacing_px: float, density: float) -> None:
    """Draw comedo-like openings: dark brown plugs with a paler yellow rim."""
    centres = canvas.sites(spacing_px, jitter=0.35, region=region)
    radii = canvas.rng.uniform(4.0, 9.0, len(centres))
    rims = draw_blobs(canvas.shape, centres, radii + 3.0, rng=canvas.rng)
    plugs = draw_blobs(canvas.shape, centres, radii, rng=canvas.rng, wobble=0.3)
    canvas.absorb(Ink.KERATIN, rims, 0.35 * density)
    canvas.absorb(Ink.MELANIN, plugs, 0.9 * density)
    canvas.absorb(Ink.SOOT, plugs, 0.35 * density)


def draw_fissures(canvas: Canvas, region: Field, *, spacing_px: float, density: float) -> None:
    """Draw a cerebriform surface: winding dark furrows between paler ridges."""
    winding = np.abs(canvas.noise(spacing_px))
    furrows = ramp(winding, 0.55, 0.0) * region
    ridges = ramp(winding, 0.5, 1.8) * region
    canvas.absorb(Ink.MELANIN, furrows, density)
    canvas.cover(CYST, ridges, 0.22)


def draw_scale(canvas: Canvas, region: Field, *, opacity: float) -> None:
    """Draw flakes of white to yellow scale that lie on top of the lesion."""
    clumps = canvas.noise(0.30 * canvas.radius + 6.0) + 0.8 * canvas.noise(6.0)
    flakes = ramp(clumps, 0.6, 1.7) * region
    canvas.cover(SCALE, flakes, opacity)


def draw_strawberry(
    canvas: Canvas, region: Field, *, spacing_px: float, density: float, opacity: float
) -> None:
    """Draw a red pseudo-network around pale follicles that hold a yellowish plug."""
    centres = canvas.sites(spacing_px, jitter=0.2, region=region)
    radii = spacing_px * canvas.rng.uniform(0.18, 0.34, len(centres))
    halos = draw_blobs(canvas.shape, centres, radii, rng=canvas.rng, wobble=0.3, soft_px=1.8)
    plugs = draw_blobs(canvas.shape, centres, 0.36 * radii, rng=canvas.rng)
    mottle = 0.85 + 0.3 * np.clip(canvas.noise(spacing_px), -1.5, 1.5)
    canvas.absorb(Ink.BLOOD, (1.0 - halos) * mottle * region, density)
    canvas.cover(FOLLICLE, halos, opacity)
    canvas.absorb(Ink.KERATIN, plugs, 0.35)


def draw_scar(canvas: Canvas, *, reach: float, opacity: float) -> Field:
    """Draw the central white patch of a dermatofibroma, and return its opacity."""
    shift = canvas.rng.normal(0.0, 0.06 * canvas.radius, 2)
    distance = np.hypot(canvas.x - np.float32(shift[0]), canvas.y - np.float32(shift[1]))
    distance = distance / canvas.radius + 0.10 * canvas.noise(0.3 * canvas.radius)
    strands = 0.78 + 0.22 * ramp(np.abs(canvas.noise(13.0)), 0.5, 0.1)
    patch = ramp(distance, reach * 1.35, reach * 0.4) * strands * np.float32(opacity)
    canvas.cover(SCAR_WHITE, patch)
    return patch
