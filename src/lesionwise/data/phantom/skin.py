"""The skin around a lesion: tone, redness, mottling, furrows, freckles.

One `Skin` belongs to one lesion, so its photographs agree in tone; the fine pattern is drawn
anew for each of them, since no two show the same stretch of skin.
"""

from dataclasses import dataclass

import numpy as np

from lesionwise.data.phantom.canvas import BLOOD, MELANIN, Colour
from lesionwise.data.phantom.fields import Field, Points, draw_blobs, ramp, smooth_noise

# Mean and spread of white skin in HAM10000's photographs, measured along their borders.
_TONE: Colour = (0.83, 0.69, 0.68)
_FRECKLES_MOST = 7


@dataclass(frozen=True)
class Skin:
    """What the photographs of one lesion share of its surroundings.

    Args:
        tone: Colour of bare skin under white light.
        mottling: Strength of the blotches of blood and pigment.
        furrows: Strength of the fine pattern of skin lines.
        freckles: Number of brown spots that are not the lesion.
        hairiness: Mean number of hairs in a photograph.
    """

    tone: Colour
    mottling: float
    furrows: float
    freckles: int
    hairiness: float


def draw_lots_for_skin(rng: np.random.Generator) -> Skin:
    """Return the skin of one patient."""
    brightness = rng.normal(0.0, 0.05)
    pigment, blood = rng.gamma(1.2, 0.10), rng.gamma(1.5, 0.06)
    red, green, blue = (
        float(np.clip((base + brightness) * np.exp(-pigment * m - blood * b), 0.2, 0.97))
        for base, m, b in zip(_TONE, MELANIN, BLOOD, strict=True)
    )
    return Skin(
        tone=(red, green, blue),
        mottling=float(rng.uniform(0.01, 0.05)),
        furrows=float(rng.uniform(0.0, 0.06)),
        freckles=int(rng.integers(1, _FRECKLES_MOST)) if rng.random() < 0.35 else 0,  # noqa: PLR2004
        hairiness=float(rng.gamma(0.5, 9.0)),
    )


def draw_skin(skin: Skin, rng: np.random.Generator, shape: tuple[int, int]) -> Field:
    """Return a photograph's worth of bare skin, RGB (H, W, 3)."""
    blotches = smooth_noise(rng, shape, 70.0) + 0.6 * smooth_noise(rng, shape, 22.0)
    fine = smooth_noise(rng, shape, 4.0)
    lines = ramp(np.abs(smooth_noise(rng, shape, 9.0)), 0.25, 0.0)
    brown = skin.mottling * smooth_noise(rng, shape, 14.0) + _freckles(skin, rng, shape)
    red = skin.mottling * blotches + 0.012 * fine
    grey = skin.furrows * lines + 0.010 * fine
    picture = np.empty((*shape, 3), dtype=np.float32)
    for channel, (tone, m, b) in enumerate(zip(skin.tone, MELANIN, BLOOD, strict=True)):
        picture[..., channel] = tone * np.exp(-(m * brown + b * red + grey))
    return picture


def _freckles(skin: Skin, rng: np.random.Generator, shape: tuple[int, int]) -> Field | float:
    if not skin.freckles:
        return 0.0
    centres: Points = rng.uniform((0.0, 0.0), shape[::-1], (skin.freckles, 2))
    radii = rng.uniform(5.0, 22.0, skin.freckles)
    spots = draw_blobs(shape, centres, radii, rng=rng, wobble=0.4)
    ragged = ramp(smooth_noise(rng, shape, 8.0), -1.0, 0.6)
    return spots * ragged * np.float32(rng.uniform(0.25, 0.7))
