"""Changes that should not change an answer: a picture saved again, moved, mirrored, turned or rescaled.

Here: from the pixels of a file to those of a changed one, or to the content of a file. Not here: changes that
make a picture worse (`perturbations`), and what a model makes of either (`lesionwise.predict.stability`).
Each is made to the picture as decoded, before a model's reader scales it down: a pixel is one of the file's.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Final
from zlib import crc32

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lesionwise.encoding import jpeg_file

Pixels = NDArray[np.uint8]
Change = Callable[[Pixels, np.random.Generator], Pixels | bytes]


def _saved(pixels: Pixels, _: np.random.Generator, *, quality: int) -> bytes:
    return jpeg_file(pixels, quality)


def _grained(pixels: Pixels, rng: np.random.Generator, *, deviation: float) -> Pixels:
    grain = rng.standard_normal(pixels.shape, dtype=np.float32) * np.float32(deviation)
    return np.clip(np.rint(pixels + grain), 0, 255).astype(np.uint8)


def _moved(pixels: Pixels, _: np.random.Generator, *, right: int) -> Pixels:
    """Move the picture to the right; its left edge is repeated."""
    return np.pad(pixels, ((0, 0), (right, 0), (0, 0)), mode="edge")[:, : pixels.shape[1]]


def _turned(pixels: Pixels, _: np.random.Generator, *, quarters: int) -> Pixels:
    return np.rot90(pixels, quarters)


def _resized(pixels: Pixels, _: np.random.Generator, *, by: float) -> Pixels:
    height, width = (round(side * by) for side in pixels.shape[:2])
    return np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC))


HARMLESS: Final[Mapping[str, Change]] = {
    **{f"JPEG {quality}": partial(_saved, quality=quality) for quality in (95, 90, 75)},
    "noise 1": partial(_grained, deviation=1.0),
    "noise 2": partial(_grained, deviation=2.0),
    "1 pixel": partial(_moved, right=1),
    "2 pixels": partial(_moved, right=2),
    "3 pixels": partial(_moved, right=3),
    "mirrored": lambda pixels, _: np.flip(pixels, axis=1),
    "upside down": lambda pixels, _: np.flip(pixels, axis=0),
    **{f"turned {90 * quarters}": partial(_turned, quarters=quarters) for quarters in (1, 2, 3)},
    **{f"size {by}": partial(_resized, by=by) for by in (0.9, 1.1)},
}
"""Each change by its name. Those of `SAVED` give the content of a JPEG file, the others pixels."""

SAVED: Final = frozenset(name for name in HARMLESS if name.startswith("JPEG"))
"""Changes that save a JPEG."""


def change(pixels: Pixels, name: str, *, image_id: str) -> Pixels | bytes:
    """Return a harmlessly changed picture, the same for the same name and image."""
    return HARMLESS[name](pixels, np.random.default_rng([crc32(name.encode()), crc32(image_id.encode())]))
