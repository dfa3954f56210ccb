"""Grey fields that everything in a phantom is drawn with: noise, ramps, blobs and strokes.

A field is a float32 array (H, W); what its numbers mean (density, opacity, depth) is the
caller's business. Positions are (x, y) pairs in pixels from the upper left corner.
What is not here: colour (`canvas`), and anything that a dermatologist has a name for.
"""

import math
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from lesionwise.arrays import Float32s, Floats, Pixels

Field = Float32s
Points = Floats

# Vector shapes are drawn at twice the size and averaged down: Pillow does not antialias.
_SUPERSAMPLING = 2
_BLOB_CORNERS = 18
# Cubic interpolation between independent nodes keeps about two thirds of their variance.
_INTERPOLATION_GAIN = 1.23


def smooth_noise(rng: np.random.Generator, shape: tuple[int, int], scale_px: float) -> Field:
    """Return smooth noise of mean 0 and standard deviation about 1.

    Interpolated from a small grid of normal numbers, because it costs a tenth of filtering
    white noise at full size.

    Args:
        scale_px: Distance between the grid's nodes, about half a period of the waves.
    """
    height, width = shape
    rows, columns = math.ceil(height / scale_px) + 3, math.ceil(width / scale_px) + 3
    grid = rng.standard_normal((rows, columns), dtype=np.float32)
    left, top = rng.uniform(0.5, 1.5, 2)
    box = (left, top, left + width / scale_px, top + height / scale_px)
    resized = Image.fromarray(grid).resize((width, height), Image.Resampling.BICUBIC, box=box)
    return np.asarray(resized, dtype=np.float32) * _INTERPOLATION_GAIN


def ramp(field: Field, start: float, end: float) -> Field:
    """Return 0 before `start`, 1 after `end` and a smooth step between; `end` may be the smaller."""
    t: Field = np.clip((field - start) * (1.0 / (end - start)), 0.0, 1.0)
    return t * t * (3.0 - 2.0 * t)


def as_pixels(field: NDArray[np.floating]) -> Pixels:
    """Return numbers from 0 to 1 as bytes from 0 to 255; what lies beyond is clipped."""
    return np.ascontiguousarray(np.clip(field * 255.0 + 0.5, 0.0, 255.0), dtype=np.uint8)


def draw_blobs(
    shape: tuple[int, int],
    centres: Points,
    radii: Sequence[float] | Points,
    *,
    rng: np.random.Generator,
    wobble: float = 0.1,
    stretch: float = 1.0,
    soft_px: float = 0.0,
) -> Field:
    """Return a field that is 1 inside rounded blobs and 0 outside.

    Args:
        wobble: How far a blob is from an ellipse, as a fraction of its radius.
        stretch: Root of long axis over short axis; each blob points its own way.
    """
    image, pen = _sheet(shape)
    turn = np.linspace(0.0, 2.0 * math.pi, _BLOB_CORNERS, endpoint=False)
    for (x, y), radius in zip(centres, radii, strict=True):
        phase = rng.uniform(0.0, 2.0 * math.pi, 3)
        waves = 0.5 * np.cos(2 * turn + phase[0]) + 0.3 * np.cos(3 * turn + phase[1])
        size = _SUPERSAMPLING * radius * (1.0 + wobble * waves)
        along, across = size * np.cos(turn) * stretch, size * np.sin(turn) / stretch
        cos, sin = math.cos(phase[2]), math.sin(phase[2])
        corners = np.stack((cos * along - sin * across, sin * along + cos * across), axis=1)
        corners += (_SUPERSAMPLING * x, _SUPERSAMPLING * y)
        pen.polygon(corners.ravel().tolist(), fill=255)
    return _averaged(image, soft_px)


def draw_strokes(
    shape: tuple[int, int], strokes: Iterable[tuple[Points, float]], *, soft_px: float = 0.0
) -> Field:
    """Return a field that is 1 on strokes (a path of shape (N, 2), and a width in px) and 0 beside them."""
    image, pen = _sheet(shape)
    for path, width in strokes:
        points = (_SUPERSAMPLING * path).ravel().tolist()
        pen.line(points, fill=255, width=max(1, round(_SUPERSAMPLING * width)), joint="curve")
    return _averaged(image, soft_px)


def _sheet(shape: tuple[int, int]) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    image = Image.new("L", (_SUPERSAMPLING * shape[1], _SUPERSAMPLING * shape[0]))
    return image, ImageDraw.Draw(image)


def _averaged(image: Image.Image, soft_px: float) -> Field:
    image = image.reduce(_SUPERSAMPLING)
    if soft_px:
        image = image.filter(ImageFilter.GaussianBlur(soft_px))
    return np.asarray(image, dtype=np.float32) * (1 / 255)
