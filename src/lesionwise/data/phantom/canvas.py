"""The canvas that one lesion is drawn on, the inks of skin, and the outline of a lesion.

A lesion is kept as what it does to light, not as a picture: light from the skin beneath is
multiplied by `transmission`, and `scatter` is added. So one drawing lies on any skin and
under any lamp, and the photographs of a lesion show the same lesion.

What is not here: how sharply pigment ends at the outline; each diagnosis decides that with `ramp`.
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from PIL import Image, ImageDraw

from lesionwise.arrays import Pixels
from lesionwise.data.phantom.fields import Field, Points, as_pixels, ramp, smooth_noise

Colour = tuple[float, float, float]


class Ink:
    """Absorption (red, green, blue) of a unit of each chromophore.

    Read off the colours that dermatoscopy gives them: melanin is brown in the epidermis and, since short
    waves are scattered before they reach it, slate blue in the dermis.
    """

    MELANIN: Final[Colour] = (0.50, 0.78, 1.00)
    DEEP_MELANIN: Final[Colour] = (0.95, 0.62, 0.38)
    BLOOD: Final[Colour] = (0.10, 0.85, 0.62)
    VENOUS_BLOOD: Final[Colour] = (0.75, 1.45, 0.80)
    KERATIN: Final[Colour] = (0.10, 0.28, 0.85)
    SOOT: Final[Colour] = (1.30, 1.35, 1.30)


# The side of the canvas in lesion radii; a drawing fades out before it.
_SIDE_IN_RADII = 3.2
# Noise beyond this many standard deviations would push a lobe off the canvas.
_LARGEST_LOBE = 1.5
_REACH_IN_RADII = 1.45
_CURVE_POINTS = 180


@dataclass(frozen=True)
class Drawing:
    """One finished lesion as bytes, 255 for 1: two RGB arrays (H, W, 3) and the area it covers (H, W)."""

    transmission: Pixels
    scatter: Pixels
    area: Pixels


class Canvas:
    """A square field of view around one lesion, in pixels of the final photograph.

    Attributes:
        side: Height and width in pixels.
        x: Coordinate across, shape (1, side), with the lesion's centre at 0.
        y: Coordinate down, shape (side, 1).
    """

    def __init__(self, rng: np.random.Generator, radius: float) -> None:
        self.rng, self.radius = rng, radius
        self.side = round(_SIDE_IN_RADII * radius)
        self.shape = self.side, self.side
        axis = np.arange(self.side, dtype=np.float32) - np.float32(self.side / 2)
        self.x, self.y = axis[None, :], axis[:, None]
        self._transmission = np.ones((3, *self.shape), dtype=np.float32)
        self._scatter = np.zeros((3, *self.shape), dtype=np.float32)

    def noise(self, scale_px: float) -> Field:
        """Return smooth noise over the canvas; see `smooth_noise`."""
        return smooth_noise(self.rng, self.shape, scale_px)

    def chance(self, probability: float) -> bool:
        """Return true with the given probability."""
        return bool(self.rng.random() < probability)

    def between(self, low: float, high: float) -> float:
        """Return a number drawn evenly between the two."""
        return float(self.rng.uniform(low, high))

    def sites(self, spacing_px: float, *, jitter: float, region: Field) -> Points:
        """Return the points of a hexagonal lattice that fall where `region` is above one half.

        Args:
            jitter: Standard deviation of each point's shift, as a fraction of the spacing.

        Returns:
            Positions from the canvas's corner, shape (N, 2).
        """
        rows = np.arange(0.0, self.side, spacing_px * 0.866)
        columns = np.arange(0.0, self.side, spacing_px)
        x, y = np.meshgrid(columns, rows)
        x[1::2] += spacing_px / 2
        points = np.stack((x.ravel(), y.ravel()), axis=1)
        points += self.rng.normal(0.0, jitter * spacing_px, points.shape)
        return points[self.value_at(region, points) > 0.5]  # noqa: PLR2004

    def value_at(self, values: Field, points: Points) -> Field:
        """Return the values of a field at the points, shape (N,)."""
        column, row = np.clip(points.T.round().astype(np.intp), 0, self.side - 1)
        picked: Field = values[row, column]
        return picked

    def absorb(self, ink: Colour, where: Field, density: float = 1.0) -> None:
        """Lay an ink over all that has been drawn; a density of 1 is a well pigmented lesion."""
        passed = np.exp(where * density * -np.asarray(ink, np.float32)[:, None, None])
        self._transmission *= passed
        self._scatter *= passed

    def cover(self, colour: Colour, where: Field, opacity: float = 1.0) -> None:
        """Lay a turbid film (a scar, scale, a veil) over all that has been drawn."""
        film = where * opacity
        self._transmission *= 1.0 - film
        self._scatter *= 1.0 - film
        self._scatter += film * np.asarray(colour, np.float32)[:, None, None]

    def finish(self, area: Field) -> Drawing:
        """Return the drawing, faded out towards the border of the canvas."""
        reach = np.maximum(np.abs(self.x), np.abs(self.y))
        window = ramp(reach, self.side * 0.495, self.side * 0.45)
        transmission = 1.0 - (1.0 - self._transmission) * window
        return Drawing(
            transmission=as_pixels(np.moveaxis(transmission, 0, 2)),
            scatter=as_pixels(np.moveaxis(self._scatter * window, 0, 2)),
            area=as_pixels(area),
        )


def outline(canvas: Canvas, *, elongation: float, lobes: float, jag_px: float) -> Field:
    """Return the depth inside a lesion's outline in pixels, negative outside.

    Args:
        elongation: Long axis over short axis, 1 or more.
        lobes: Size of bulges and bays as a fraction of the radius; asymmetry.

    Returns:
        A field over the canvas, negative along its whole border.
    """
    turn = canvas.between(0.0, math.pi)
    along = canvas.x * math.cos(turn) + canvas.y * math.sin(turn)
    across = canvas.y * math.cos(turn) - canvas.x * math.sin(turn)
    distance: Field = np.sqrt(along * along / elongation + across * across * elongation)
    bulge = np.clip(canvas.noise(canvas.radius * 0.9), -_LARGEST_LOBE, _LARGEST_LOBE)
    notches = jag_px * canvas.noise(max(9.0, canvas.radius * 0.14))
    depth = canvas.radius * (1.0 + lobes * bulge) - distance + notches
    reach = np.maximum(np.abs(canvas.x), np.abs(canvas.y))
    within: Field = np.minimum(depth, _REACH_IN_RADII * canvas.radius - reach)
    return within


def border(canvas: Canvas, depth: Field, angles: Points) -> Points:
    """Return where rays from the centre leave the lesion, as distances in pixels, shape (N,)."""
    distances = np.arange(0.0, canvas.side / 2, 1.5)
    ways = np.stack((np.cos(angles), np.sin(angles)), axis=1)
    rays = canvas.side / 2 + distances[None, :, None] * ways[:, None, :]
    inside = canvas.value_at(depth, rays.reshape(-1, 2)).reshape(len(angles), -1) > 0
    inside[:, 0] = True
    last = inside.shape[1] - 1 - np.argmax(inside[:, ::-1], axis=1)
    exits: Points = distances[last]
    return exits


def traced_area(canvas: Canvas, depth: Field) -> Field:
    """Return the area within the curve that a hand would trace: 1 inside, 0 outside.

    A segmentation is one closed curve without holes; a thresholded field need not be.
    """
    angles = np.linspace(0.0, 2.0 * math.pi, _CURVE_POINTS, endpoint=False)
    ways = np.stack((np.cos(angles), np.sin(angles)), axis=1)
    curve = canvas.side / 2 + border(canvas, depth, angles)[:, None] * ways
    image = Image.new("L", (canvas.side, canvas.side))
    ImageDraw.Draw(image).polygon(curve.ravel().tolist(), fill=1)
    return np.asarray(image, dtype=np.float32)
