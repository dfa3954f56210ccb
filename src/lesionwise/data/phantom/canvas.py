"""The canvas that one lesion is drawn on, and the inks of skin.

A lesion is kept as what it does to light, not as a picture: light from the skin beneath is
multiplied by `transmission`, and `scatter` is added. So one drawing lies on any skin and
under any lamp, and the photographs of a lesion show the same lesion.
"""

from dataclasses import dataclass, field

import numpy as np

from lesionwise.data.phantom.fields import Field, Pixels, Points, as_pixels, ramp, smooth_noise

Colour = tuple[float, float, float]

# Absorption (red, green, blue) of a unit of each chromophore. Read off the colours that
# dermatoscopy gives them: melanin is brown in the epidermis and, since short waves are
# scattered before they reach it, slate blue in the dermis.
MELANIN: Colour = (0.50, 0.78, 1.00)
DEEP_MELANIN: Colour = (0.95, 0.62, 0.38)
BLOOD: Colour = (0.10, 0.85, 0.62)
VENOUS_BLOOD: Colour = (0.75, 1.45, 0.80)
KERATIN: Colour = (0.10, 0.28, 0.85)
SOOT: Colour = (1.30, 1.35, 1.30)

# The side of the canvas in lesion radii; a drawing fades out before it.
_SIDE_IN_RADII = 3.2


@dataclass(frozen=True)
class Drawing:
    """One finished lesion as bytes, 255 for 1: two RGB arrays (H, W, 3) and the area it covers (H, W)."""

    transmission: Pixels
    scatter: Pixels
    area: Pixels


@dataclass
class Canvas:
    """A square field of view around one lesion, in pixels of the final photograph."""

    rng: np.random.Generator
    radius: float
    side: int = field(init=False)
    x: Field = field(init=False)
    y: Field = field(init=False)

    def __post_init__(self) -> None:
        """Lay out coordinates with the lesion's centre at (0, 0), and clear the canvas."""
        self.side = round(_SIDE_IN_RADII * self.radius)
        axis = np.arange(self.side, dtype=np.float32) - np.float32(self.side / 2)
        self.x, self.y = axis[None, :], axis[:, None]
        self._transmission = np.ones((3, self.side, self.side), dtype=np.float32)
        self._scatter = np.zeros((3, self.side, self.side), dtype=np.float32)

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.side, self.side

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

    def absorb(self, ink: Colour, density: Field) -> None:
        """Lay an ink over all that has been drawn; a density of 1 is a well pigmented lesion."""
        for plane, scattered, absorption in zip(self._transmission, self._scatter, ink, strict=True):
            passed = np.exp(density * np.float32(-absorption))
            np.multiply(plane, passed, out=plane)
            np.multiply(scattered, passed, out=scattered)

    def cover(self, colour: Colour, opacity: Field) -> None:
        """Lay a turbid film (a scar, scale, a veil) over all that has been drawn."""
        clear = 1.0 - opacity
        for plane, scattered, value in zip(self._transmission, self._scatter, colour, strict=True):
            np.multiply(plane, clear, out=plane)
            np.multiply(scattered, clear, out=scattered)
            np.add(scattered, opacity * np.float32(value), out=scattered)

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
