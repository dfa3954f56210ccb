"""One photograph of a lesion: skin, view, artefacts, light, lens, sensor and JPEG.

Here everything varies that has nothing to do with the diagnosis. One `Skin` belongs to one lesion, so its
photographs agree in tone; its fine pattern is drawn anew for each of them, since no two show the same
stretch of skin.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image, ImageChops, ImageFilter

from lesionwise.arrays import Pixels
from lesionwise.data.phantom import artefacts
from lesionwise.data.phantom.canvas import Colour, Drawing, Ink
from lesionwise.data.phantom.fields import Field, Points, as_pixels, draw_blobs, ramp, smooth_noise
from lesionwise.encoding import encoded

Matrix = tuple[float, float, float, float, float, float]

SIZE_PX = (600, 450)
"""Width and height of every photograph, as in HAM10000."""

JPEG_QUALITY = 90
NOTICE = "Phantom drawn by lesionwise: not a photograph, no patient."

_SHAPE = (SIZE_PX[1], SIZE_PX[0])
_CLEAR, _BLACK = (255, 255, 255), (0, 0, 0)
# Shares of photographs with each nuisance, by eye: HAM10000 has all of them, uncounted.
_BUBBLES_SHARE, _RULER_SHARE, _SURROUND_SHARE = 0.15, 0.15, 0.22
# Brightness is held below white until the colours are balanced, or highlights would turn coloured.
_HEADROOM = 0.8
# The byte that stands for no noise, since bytes have no sign.
_NOISE_ZERO = 128
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
        for base, m, b in zip(_TONE, Ink.MELANIN, Ink.BLOOD, strict=True)
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
    for channel, (tone, m, b) in enumerate(zip(skin.tone, Ink.MELANIN, Ink.BLOOD, strict=True)):
        picture[..., channel] = tone * np.exp(-(m * brown + b * red + grey))
    return picture


def _freckles(skin: Skin, rng: np.random.Generator, shape: tuple[int, int]) -> Field | float:
    if not skin.freckles:
        return 0.0
    centres: Points = rng.uniform((0.0, 0.0), shape[::-1], (skin.freckles, 2))
    radii = rng.uniform(5.0, 22.0, skin.freckles)
    spots = draw_blobs(shape, centres, radii, rng=rng, wobble=0.4)
    ragged = ramp(smooth_noise(rng, shape, 8.0), -1.0, 0.6)
    return spots * ragged * rng.uniform(0.25, 0.7)


@dataclass(frozen=True)
class Photograph:
    """The two files of one photograph, as bytes."""

    jpeg: bytes
    mask_png: bytes


def take_photograph(drawing: Drawing, skin: Skin, rng: np.random.Generator) -> Photograph:
    """Return a photograph of a drawn lesion, everything about its making drawn from `rng`."""
    view = _draw_lots_for_view(rng, drawing.area.shape[0])
    transmission, scatter = (
        _seen(pixels, view, resample=Image.Resampling.BILINEAR, fillcolor=outside) * np.float32(1 / 255)
        for pixels, outside in ((drawing.transmission, _CLEAR), (drawing.scatter, _BLACK))
    )
    picture = draw_skin(skin, rng, _SHAPE) * transmission + scatter
    artefacts.add_hairs(picture, rng, skin.hairiness)
    if rng.random() < _BUBBLES_SHARE:
        artefacts.add_bubbles(picture, rng)
    if rng.random() < _RULER_SHARE:
        artefacts.add_ruler(picture, rng)
    picture *= _lamp(rng)[..., None]
    developed = np.asarray(_develop(picture, rng))
    return Photograph(
        encoded(developed, "JPEG", quality=JPEG_QUALITY, comment=NOTICE),
        encoded(_seen(drawing.area, view), "PNG", compress_level=6),
    )


def _draw_lots_for_view(rng: np.random.Generator, side: int) -> Matrix:
    """Return the affine map from the photograph's pixels to the canvas's, in Pillow's order.

    The camera is held at any angle, a little nearer or farther, not quite centred.
    """
    turn, zoom = rng.uniform(0.0, 2.0 * math.pi), math.exp(rng.uniform(-0.22, 0.22))
    squeeze = math.exp(rng.normal(0.0, 0.03))
    x, y = rng.normal((SIZE_PX[0] / 2, SIZE_PX[1] / 2), (26.0, 18.0))
    a, b = math.cos(turn) / zoom * squeeze, math.sin(turn) / zoom
    d, e = -math.sin(turn) / zoom * squeeze, math.cos(turn) / zoom
    return (a, b, side / 2 - a * x - b * y, d, e, side / 2 - d * x - e * y)


def _seen(pixels: Pixels, view: Matrix, **options: Any) -> Pixels:  # noqa: ANN401 (Pillow's)
    """Return what a view shows of a canvas."""
    seen = Image.fromarray(pixels).transform(SIZE_PX, Image.Transform.AFFINE, view, **options)
    return np.asarray(seen)


def _lamp(rng: np.random.Generator) -> Field:
    """Return the light on each pixel: its slant, its fall towards the edge, a dark surround."""
    x = np.linspace(-1.0, 1.0, SIZE_PX[0], dtype=np.float32)[None, :]
    y = np.linspace(-0.75, 0.75, SIZE_PX[1], dtype=np.float32)[:, None]
    across, down = rng.normal(0.0, 0.05, 2).astype(np.float32)
    square = x * x + y * y
    light: Field = 1.0 + across * x + down * y - rng.uniform(0.0, 0.18) * square
    if rng.random() < _SURROUND_SHARE:
        radius = rng.uniform(0.92, 1.15)
        light *= 0.03 + 0.97 * ramp(np.sqrt(square), radius + 0.05, radius - 0.05)
    return light


def _develop(picture: Field, rng: np.random.Generator) -> Image.Image:
    """Return the picture after lens and sensor: blur, white balance, saturation, noise."""
    blur, grain = float(rng.uniform(0.4, 1.3)), float(rng.uniform(0.8, 3.0))
    gain = np.exp(rng.normal(0.0, 0.09) + rng.normal(0.0, (0.03, 0.06, 0.08)))
    saturation = rng.uniform(0.75, 1.15)
    grey = np.full((3, 3), 1.0 / 3.0)
    colours = (grey + saturation * (np.eye(3) - grey)) * gain / _HEADROOM
    matrix = tuple(np.column_stack((colours, np.zeros(3))).ravel().tolist())
    pixels = Image.fromarray(as_pixels(picture * _HEADROOM))
    clean = pixels.filter(ImageFilter.BoxBlur(blur)).convert("RGB", matrix)
    noise = rng.standard_normal(_SHAPE, dtype=np.float32) * (grain / 255.0)
    layer = Image.fromarray(as_pixels(noise + _NOISE_ZERO / 255.0))
    return ImageChops.add(clean, Image.merge("RGB", (layer, layer, layer)), offset=-_NOISE_ZERO)
