"""The outline of a lesion: how far each pixel lies inside it, and the curve a reader would draw.

What is not here: how sharply the pigment ends there; each diagnosis decides that with `ramp`.
"""

import math

import numpy as np
from PIL import Image, ImageDraw

from lesionwise.data.phantom.canvas import Canvas
from lesionwise.data.phantom.fields import Field, Points

# Noise beyond this many standard deviations would push a lobe off the canvas.
_LARGEST_LOBE = 1.5
_REACH_IN_RADII = 1.45
_CURVE_POINTS = 180


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
