"""Changes of photographs: those between two clinics, at three strengths, and those that change no answer.

Here: from a photograph to a changed one, a function of the seed and its name. Not here: what a model makes
of it (`lesionwise.experiments.robustness`, `lesionwise.predict.stability`), and augmentation, which a recipe
asks for (`lesionwise.training`).

Two clinics differ in light, lens, file, hair and gel. Lengths are parts of the height, so that a strength
means the same at any resolution. Strengths are chosen by eye on photographs of HAM10000: 1 is what one
clinic's own images hold, 2 is a bad day, 3 is what a doctor would send back.

A harmless change saves a picture again, moves, mirrors, turns or rescales it. It should not change an answer.
It is made to the decoded picture, before a model's reader scales it down, so a pixel is one of the file's.

References:
    Hendrycks and Dietterich (2019), https://arxiv.org/abs/1903.12261 (common corruptions)
    Maron et al. (2021), https://doi.org/10.1016/j.ejca.2020.11.020 (on dermatoscopic images)
"""

import math
from collections.abc import Callable, Mapping
from typing import Final
from zlib import crc32

import numpy as np
from PIL import Image, ImageFilter

from lesionwise.arrays import Floats, Pixels
from lesionwise.data.phantom.artefacts import draw_bubbles, draw_hairs
from lesionwise.data.phantom.fields import as_pixels
from lesionwise.encoding import jpeg_file, recompress

Change = Callable[[Pixels, float, np.random.Generator], Pixels]
STRENGTHS: Final = (1, 2, 3)
REFERENCE_HEIGHT: Final = 450.0  # pixels; hairs and bubbles are drawn for photographs of this height


def change_brightness(pixels: Pixels, by: float, rng: np.random.Generator) -> Pixels:
    """Return the photograph brighter or darker, at even odds, by this part of its values."""
    return _look_up(pixels, np.arange(256.0) * (1 + _either(rng) * by))


def change_contrast(pixels: Pixels, by: float, rng: np.random.Generator) -> Pixels:
    """Return the photograph with contrast about its mean raised or lowered, at even odds."""
    mean = float(pixels.mean())
    return _look_up(pixels, (np.arange(256.0) - mean) * (1 + _either(rng) * by) + mean)


def cast_colour(pixels: Pixels, by: float, rng: np.random.Generator) -> Pixels:
    """Return the photograph in tinted light: warmer or colder, at even odds, and a little green or red."""
    warm, green = _either(rng) * by, rng.uniform(-0.5, 0.5) * by
    levels = np.arange(256.0)
    tables = [np.clip(np.rint(levels * (1 + gain)), 0, 255) for gain in (warm, green, -warm)]
    channels = [np.take(table.astype(np.uint8), pixels[..., index]) for index, table in enumerate(tables)]
    return np.stack(channels, axis=-1)


def blur(pixels: Pixels, by: float, _: np.random.Generator) -> Pixels:
    """Return the photograph out of focus: a Gaussian with this part of the height as its deviation."""
    return np.asarray(Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(by * pixels.shape[0])))


def compress(pixels: Pixels, quality: float, _: np.random.Generator) -> Pixels:
    """Return the photograph after a JPEG of this quality with coarse colours, as messengers make them."""
    return recompress(pixels, int(quality))


def add_noise(pixels: Pixels, by: float, rng: np.random.Generator) -> Pixels:
    """Return the photograph with grain of this standard deviation, as a part of the greatest value."""
    grain = rng.standard_normal(pixels.shape, dtype=np.float32) * np.float32(255 * by)
    return np.asarray(np.clip(np.rint(pixels + grain), 0, 255), np.uint8)


def zoom(pixels: Pixels, by: float, rng: np.random.Generator) -> Pixels:
    """Return the photograph from nearer or farther, at even odds; what lies beyond the edge is mirrored."""
    factor = (1 + by) ** _either(rng)
    return _look_from(pixels, 1 / factor, 0.0)


def rotate(pixels: Pixels, degrees: float, rng: np.random.Generator) -> Pixels:
    """Return the photograph turned either way; what lies beyond the edge is mirrored."""
    return _look_from(pixels, 1.0, math.radians(degrees) * _either(rng))


def _draw_over(draw: Callable[..., None]) -> Change:
    """Return the change that draws a number of things, such as hairs, over a photograph."""

    def drawn_over(pixels: Pixels, count: float, rng: np.random.Generator) -> Pixels:
        picture = pixels.astype(np.float32) * np.float32(1 / 255)
        draw(picture, rng, round(count), scale=pixels.shape[0] / REFERENCE_HEIGHT)
        return as_pixels(picture)

    return drawn_over


PERTURBATIONS: Final[Mapping[str, tuple[Change, tuple[float, float, float]]]] = {
    "brightness": (change_brightness, (0.1, 0.2, 0.35)),
    "contrast": (change_contrast, (0.15, 0.3, 0.5)),
    "colour cast": (cast_colour, (0.05, 0.1, 0.2)),
    "blur": (blur, (0.005, 0.01, 0.02)),
    "JPEG": (compress, (40, 20, 8)),
    "noise": (add_noise, (0.03, 0.06, 0.12)),
    "zoom": (zoom, (0.1, 0.25, 0.5)),
    "rotation": (rotate, (15, 45, 90)),
    "hair": (_draw_over(draw_hairs), (8, 20, 45)),
    "bubbles": (_draw_over(draw_bubbles), (4, 12, 30)),
}
"""Each change with the number it takes at strengths 1, 2 and 3."""


def perturb(pixels: Pixels, name: str, strength: int, *, image_id: str, seed: int = 0) -> Pixels:
    """Return a changed photograph, the same for the same seed, name, strength and image id."""
    if name not in PERTURBATIONS or strength not in STRENGTHS:
        raise ValueError(
            f"Expected one of {', '.join(PERTURBATIONS)} at strength 1, 2 or 3 but got {name} at {strength}."
        )
    change, amounts = PERTURBATIONS[name]
    rng = np.random.default_rng([seed, crc32(name.encode()), crc32(image_id.encode())])
    return change(pixels, amounts[strength - 1], rng)


def _either(rng: np.random.Generator) -> int:
    return 1 if rng.random() < 0.5 else -1  # noqa: PLR2004 (even odds)


def _look_up(pixels: Pixels, values: Floats) -> Pixels:
    return np.asarray(np.clip(np.rint(values), 0, 255).astype(np.uint8)[pixels])


def _look_from(pixels: Pixels, size: float, angle: float) -> Pixels:
    """Return the photograph seen in a frame of this size, turned, about the centre."""
    height, width = pixels.shape[:2]
    cos, sin = size * math.cos(angle), size * math.sin(angle)
    seen = abs(sin) * width + abs(cos) * height, abs(cos) * width + abs(sin) * height
    pad = tuple(
        min(side - 1, 2 + math.ceil(max(0.0, (wanted - side) / 2)))
        for wanted, side in zip(seen, (height, width), strict=True)
    )
    wide = np.pad(pixels, ((pad[0], pad[0]), (pad[1], pad[1]), (0, 0)), mode="reflect")
    middle_x, middle_y = width / 2, height / 2
    matrix = (
        *(cos, -sin, middle_x + pad[1] - cos * middle_x + sin * middle_y),
        *(sin, cos, middle_y + pad[0] - sin * middle_x - cos * middle_y),
    )
    turned = Image.fromarray(wide).transform(
        (width, height), Image.Transform.AFFINE, matrix, Image.Resampling.BICUBIC
    )
    return np.asarray(turned)


def _moved(pixels: Pixels, right: int) -> Pixels:
    """Move the picture to the right; its left edge is repeated."""
    return np.pad(pixels, ((0, 0), (right, 0), (0, 0)), mode="edge")[:, : pixels.shape[1]]


def _resized(pixels: Pixels, by: float) -> Pixels:
    height, width = (round(side * by) for side in pixels.shape[:2])
    return np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC))


HARMLESS: Final[Mapping[str, Callable[[Pixels, np.random.Generator], Pixels | bytes]]] = {
    "JPEG 95": lambda pixels, _: jpeg_file(pixels, 95),
    "JPEG 90": lambda pixels, _: jpeg_file(pixels, 90),
    "JPEG 75": lambda pixels, _: jpeg_file(pixels, 75),
    "noise 1": lambda pixels, rng: add_noise(pixels, 1 / 255, rng),
    "noise 2": lambda pixels, rng: add_noise(pixels, 2 / 255, rng),
    "1 pixel": lambda pixels, _: _moved(pixels, 1),
    "2 pixels": lambda pixels, _: _moved(pixels, 2),
    "3 pixels": lambda pixels, _: _moved(pixels, 3),
    "mirrored": lambda pixels, _: np.flip(pixels, axis=1),
    "upside down": lambda pixels, _: np.flip(pixels, axis=0),
    "turned 90": lambda pixels, _: np.rot90(pixels, 1),
    "turned 180": lambda pixels, _: np.rot90(pixels, 2),
    "turned 270": lambda pixels, _: np.rot90(pixels, 3),
    "size 0.9": lambda pixels, _: _resized(pixels, 0.9),
    "size 1.1": lambda pixels, _: _resized(pixels, 1.1),
}
"""Each change by its name. Those of `SAVED` give the content of a JPEG file, the others pixels."""

SAVED: Final = frozenset(name for name in HARMLESS if name.startswith("JPEG"))
"""Changes that save a JPEG."""


def change(pixels: Pixels, name: str, *, image_id: str) -> Pixels | bytes:
    """Return a harmlessly changed picture, the same for the same name and image."""
    return HARMLESS[name](pixels, np.random.default_rng([crc32(name.encode()), crc32(image_id.encode())]))
