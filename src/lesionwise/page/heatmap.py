"""Maps over photographs: as colour with opacity, or as contours for print.

The colours are viridis, whose lightness rises evenly: a step in the map looks the same everywhere, with any
colour vision, and in grey. Opacity rises with the value, so that skin without evidence stays unchanged.

References:
    Smith and van der Walt (2015), viridis, CC0, https://bids.github.io/colormap/
"""

from typing import Final

import numpy as np
from PIL import Image

from lesionwise.arrays import Float32s, Floats, Pixels

OPACITY: Final = 0.7
"""Opacity of the highest value; that of lower values is proportional."""
OUTSIDE: Final = 0.55
"""Brightness of the part that a model does not see."""
LEVELS: Final = (0.35, 0.7)
"""Levels of the contours, as fractions of the highest value."""
_VIRIDIS: Final = (
    "440154 48186a 472d7b 424086 3b528b 33638d 2c728e 26828e 21918c 1fa088 28ae80 3fbc73 5ec962 84d44b "
    "addc30 d8e219 fde725"
)
_ANCHORS: Final = np.array([list(bytes.fromhex(color)) for color in _VIRIDIS.split()], float)
_FINE: Final = 3  # contours are drawn this much larger and averaged down
_LINE_PX: Final = 1.6
_HALO_PX: Final = 3.4


def viridis(values: Float32s) -> Floats:
    """Return the colours of values in [0, 1], shape (..., 3), from 0 to 255."""
    at = np.clip(values, 0, 1) * (len(_ANCHORS) - 1)
    return np.stack([np.interp(at, np.arange(len(_ANCHORS)), column) for column in _ANCHORS.T], axis=-1)


def positive_part(values: Float32s) -> Float32s:
    """Return positive values as fractions of the highest value; all zero if none is positive."""
    kept = np.maximum(values, 0)
    return np.asarray(kept / max(float(kept.max(initial=0)), 1e-12), np.float32)


def lay_colour(pixels: Pixels, values: Float32s) -> Pixels:
    """Return a photograph with a map over it in colour.

    Args:
        values: Values in [0, 1], shape (h, w) of any size: stretched over the whole photograph.
    """
    field = np.clip(_stretch(values, pixels.shape[0], pixels.shape[1]), 0, 1)
    veil = (OPACITY * field)[..., None]
    return np.asarray(np.rint(pixels * (1 - veil) + viridis(field) * veil), np.uint8)


def lay_contours(pixels: Pixels, values: Float32s, *, levels: tuple[float, ...] = LEVELS) -> Pixels:
    """Return a photograph with lines at some levels of a map, dark with a white halo.

    Args:
        values: Values in [0, 1], shape (h, w) of any size.
        levels: Each in (0, 1); the lines of higher levels are thicker.
    """
    height, width = pixels.shape[:2]
    field = _stretch(values, _FINE * height, _FINE * width)
    drawn = pixels.astype(float)
    for number, level in enumerate(levels):
        slope = np.hypot(*np.gradient(field)) + 1e-9
        distance = np.abs(field - level) / slope / _FINE  # in pixels of the photograph, to first order
        for reach, grey in ((_HALO_PX, 255.0), (_LINE_PX + 0.6 * number, 25.0)):
            line = np.clip(reach / 2 - distance + 0.5, 0, 1) * (np.abs(field - level) < 0.25)  # noqa: PLR2004 (flat far away)
            ink = line.reshape(height, _FINE, width, _FINE).mean((1, 3))[..., None]
            drawn = drawn * (1 - ink) + grey * ink
    return np.asarray(np.rint(drawn), np.uint8)


def dim_around(pixels: Pixels, seen: tuple[slice, slice]) -> Pixels:
    """Return a photograph that is darker around the part that a model sees (its rows and columns)."""
    drawn: Pixels = np.rint(pixels * OUTSIDE).astype(np.uint8)
    drawn[seen] = pixels[seen]
    return drawn


def _stretch(values: Float32s, height: int, width: int) -> Float32s:
    image = Image.fromarray(np.asarray(values, np.float32))
    return np.asarray(image.resize((width, height), Image.Resampling.BICUBIC), np.float32)
