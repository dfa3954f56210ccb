"""What lies between skin and lens and says nothing about the diagnosis: hairs, gel, a ruler.

Every function takes the picture, RGB (H, W, 3) in [0, 1], and changes it in place.
"""

import numpy as np

from lesionwise.data.phantom.canvas import Colour
from lesionwise.data.phantom.fields import Field, Points, draw_blobs, draw_strokes

_DARK_HAIR: Colour = (0.16, 0.11, 0.10)
_PALE_HAIR: Colour = (0.93, 0.89, 0.86)
_HAIRS_MOST = 45
_TICK_SPACING_PX = 24.0


def add_hairs(picture: Field, rng: np.random.Generator, hairiness: float) -> None:
    """Lay dark or pale hairs across the picture, most of them along one direction."""
    count = min(int(rng.poisson(hairiness)), _HAIRS_MOST)
    if count:
        draw_hairs(picture, rng, count)


def draw_hairs(picture: Field, rng: np.random.Generator, count: int, *, scale: float = 1.0) -> None:
    """Lay this many hairs, `scale` times as thick and long as in a photograph 450 pixels high."""
    lie = rng.uniform(0.0, np.pi)
    strokes = [(_hair(picture, rng, lie, scale), float(rng.uniform(1.0, 3.2)) * scale) for _ in range(count)]
    colour = _DARK_HAIR if rng.random() < 0.75 else _PALE_HAIR  # noqa: PLR2004
    _paint(picture, colour, draw_strokes(picture.shape[:2], strokes) * 0.85)


def add_bubbles(picture: Field, rng: np.random.Generator) -> None:
    """Enclose bubbles in the gel: a bright rim, a dark line within it, a reflection of the lamp."""
    draw_bubbles(picture, rng, int(rng.integers(2, 14)))


def draw_bubbles(picture: Field, rng: np.random.Generator, count: int, *, scale: float = 1.0) -> None:
    """Enclose this many bubbles, `scale` times as large as in a photograph 450 pixels high."""
    shape = picture.shape[:2]
    centres = rng.uniform((0.0, 0.0), shape[::-1], (count, 2))
    radii = (rng.gamma(2.0, 4.5, count) + 4.0) * scale
    discs = [
        draw_blobs(shape, centres + shift * radii[:, None], size * radii, rng=rng, wobble=0.03)
        for shift, size in ((0.0, 1.0), (0.0, 0.86), (0.0, 0.74), (-0.42, 0.16))
    ]
    outer, middle, inner, glint = discs
    _paint(picture, (0.95, 0.93, 0.92), np.clip(outer - middle, 0.0, 1.0) * 0.55)
    _paint(picture, (0.25, 0.20, 0.20), np.clip(middle - inner, 0.0, 1.0) * 0.30)
    _paint(picture, (1.0, 1.0, 1.0), glint * 0.85)


def add_ruler(picture: Field, rng: np.random.Generator) -> None:
    """Print a millimetre scale along one edge, every fifth tick longer."""
    height, width = picture.shape[:2]
    spacing, inset = _TICK_SPACING_PX * rng.uniform(0.8, 1.2), rng.uniform(0.0, 14.0)
    tilt, flipped = rng.normal(0.0, 0.05), rng.random() < 0.5  # noqa: PLR2004
    strokes: list[tuple[Points, float]] = []
    for number, position in enumerate(np.arange(rng.uniform(0.0, spacing), width, spacing)):
        base = inset + tilt * (position - width / 2)
        tip = base + (24.0 if number % 5 == 0 else 14.0)
        ys = np.array((base, tip))
        path = np.stack((np.full(2, position) + tilt * ys, height - ys if flipped else ys), axis=1)
        strokes.append((path, 2.5))
    _paint(picture, (0.08, 0.08, 0.09), draw_strokes((height, width), strokes) * 0.9)


def _hair(picture: Field, rng: np.random.Generator, lie: float, scale: float) -> Points:
    """Return a quadratic Bezier curve that starts anywhere and mostly follows `lie`."""
    height, width = picture.shape[:2]
    start = rng.uniform((0.0, 0.0), (width, height))
    turn = lie + rng.normal(0.0, 0.5)
    way = np.array((np.cos(turn), np.sin(turn))) * rng.uniform(60.0, 340.0) * scale
    bend = np.array((-way[1], way[0])) * rng.normal(0.0, 0.3)
    t = np.linspace(0.0, 1.0, 14)[:, None]
    return start + t * way + 4.0 * t * (1.0 - t) * bend


def _paint(picture: Field, colour: Colour, opacity: Field) -> None:
    touched = opacity > 0
    part = picture[touched]
    picture[touched] = part + opacity[touched][:, None] * (np.asarray(colour, dtype=np.float32) - part)
