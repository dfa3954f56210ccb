"""How light the skin around a lesion is: an estimate from the photograph, since no table says it.

Not here: its bands and their scores (`lesionwise.evaluation.scores.subgroups`).

The angle was made for a colorimeter on skin. A photograph adds its lamp, its white balance and its JPEG, and
dermatoscopes press the blood out of the skin: a band may be off by one or two, and the same skin may fall
into two bands in two photographs. For many photographs of HAM10000 it cannot be estimated at all, because
their light is too blue. It is good enough to ask whether a model does worse where skin looks darker, and for
nothing else.

References:
    Chardon, Cretois and Hourseau (1991), https://doi.org/10.1111/j.1467-2494.1991.tb00561.x (the angle)
    Del Bino and Bernerd (2013), https://doi.org/10.1111/bjd.12529 (the bands)
    IEC 61966-2-1 (sRGB, D65); CIE 15:2004 (L*a*b*)
    Kinyanjui et al. (2020), https://doi.org/10.1007/978-3-030-59725-2_31 (on dermatoscopic images)
"""

from functools import cache
from typing import Final

import numpy as np
from PIL import Image, ImageFilter

from lesionwise.arrays import Booleans, Float32s, Pixels

MARGIN: Final = 0.06  # of the height: the rim of a lesion is darker than skin and not always in the mask
FRAME: Final = 0.12  # of each side: what is taken for skin where there is no mask
LEAST_PART: Final = 0.02  # of the image: with less skin than that no angle is given
_DARKEST: Final = 25.0  # L*: below lie the black corners of the view, hairs and ink
_LEAST_YELLOW: Final = 3.0  # b*; skin measured by colorimeter has more, and towards 0 every angle goes to 90
_GLARE: Final = 250  # grey level of a channel: reflections of the lamp
_STRAIGHT: Final = (6 / 29) ** 3  # below it, CIE's cube root is a straight line
_D65: Final = np.array([0.95047, 1.0, 1.08883])
_TO_XYZ: Final = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)


def typology_angle(pixels: Pixels, mask: Booleans | None = None) -> float:
    """Return the individual typology angle of the skin in a photograph, in degrees; lighter skin has more.

    It is arctan((L* - 50) / b*) of the skin's mean colour, over the pixels within one standard deviation of
    the mean lightness and yellowness.

    Args:
        mask: Where the lesion is, shape (H, W). Left out, the frame of the image is taken for skin.

    Returns:
        An angle between -90 and 90; NaN where less than `LEAST_PART` of the image is skin, or where the skin
        looks bluer than any skin is, so that the angle would describe the lamp alone.
    """
    skin = _outside(mask) if mask is not None else _frame(pixels.shape[:2])
    skin &= pixels.max(axis=2) < _GLARE
    lab = rgb_to_lab(pixels[skin])
    lab = lab[lab[:, 0] > _DARKEST]
    if len(lab) < LEAST_PART * skin.size:
        return float("nan")
    kept = np.ones(len(lab), bool)
    for values in (lab[:, 0], lab[:, 2]):
        kept &= np.abs(values - values.mean()) <= values.std() + 1e-9
    lightness, _, yellowness = lab[kept].mean(axis=0) if kept.any() else np.median(lab, axis=0)
    if yellowness < _LEAST_YELLOW:
        return float("nan")
    return float(np.degrees(np.arctan((lightness - 50) / yellowness)))


def _outside(mask: Booleans) -> Booleans:
    """Return what is not lesion, with a margin."""
    reach = max(1, round(MARGIN * mask.shape[0]))
    grown = Image.fromarray(mask.astype(np.uint8) * 255).filter(ImageFilter.BoxBlur(reach))
    return np.asarray(np.asarray(grown) == 0)


def _frame(shape: tuple[int, int]) -> Booleans:
    inside = np.ones(shape, bool)
    rows, columns = (max(1, round(FRAME * side)) for side in shape)
    inside[rows:-rows, columns:-columns] = False
    return inside


def rgb_to_lab(pixels: Pixels) -> Float32s:
    """Return the L*a*b* values of sRGB pixels, shape (..., 3) both."""
    weights = (_TO_XYZ / _D65[:, None]).astype(np.float32)
    linear = _linear_levels().take(pixels.reshape(-1, 3)) @ weights.T
    dark = linear < _STRAIGHT
    bent = np.cbrt(linear)
    bent[dark] = linear[dark] * np.float32((29 / 6) ** 2 / 3) + np.float32(4 / 29)
    x, y, z = np.moveaxis(bent.reshape(pixels.shape), -1, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


@cache
def _linear_levels() -> Float32s:
    """Return the linear value of each sRGB level, shape (256,)."""
    levels = np.arange(256) / 255
    bent = ((levels + 0.055) / 1.055) ** 2.4
    return np.where(levels <= 0.04045, levels / 12.92, bent).astype(np.float32)  # noqa: PLR2004 (of the standard)
