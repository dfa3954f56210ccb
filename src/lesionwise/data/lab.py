"""From sRGB to CIE L*a*b*, in which distances are about as great as they look.

References:
    IEC 61966-2-1 (sRGB, D65); CIE 15:2004 (L*a*b*).
"""

from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float32]

_STRAIGHT: Final = (6 / 29) ** 3  # below it, CIE's cube root is a straight line
_D65: Final = np.array([0.95047, 1.0, 1.08883])
_TO_XYZ: Final = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)


def rgb_to_lab(pixels: NDArray[np.uint8]) -> Float:
    """Return the L*a*b* values of sRGB pixels, shape (..., 3) both."""
    weights = (_TO_XYZ / _D65[:, None]).astype(np.float32)
    linear = _linear_levels().take(pixels.reshape(-1, 3)) @ weights.T
    dark = linear < _STRAIGHT
    bent = np.cbrt(linear)
    bent[dark] = linear[dark] * np.float32((29 / 6) ** 2 / 3) + np.float32(4 / 29)
    x, y, z = np.moveaxis(bent.reshape(pixels.shape), -1, 0)
    lab = np.empty(pixels.shape, np.float32)
    lab[..., 0] = 116 * y - 16
    lab[..., 1] = 500 * (x - y)
    lab[..., 2] = 200 * (y - z)
    return lab


@cache
def _linear_levels() -> Float:
    """Return the linear value of each sRGB level, shape (256,)."""
    levels = np.arange(256) / 255
    bent = ((levels + 0.055) / 1.055) ** 2.4
    return np.where(levels <= 0.04045, levels / 12.92, bent).astype(np.float32)  # noqa: PLR2004 (of the standard)
