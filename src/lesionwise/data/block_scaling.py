"""Scaling pixels down exactly as a JPEG decoder does, so that a PNG and a JPEG of one picture are read alike.

A JPEG holds its picture in blocks of 8x8 pixels. A decoder that is asked for k eighths of the size turns each
block into k x k pixels and never computes the others. No filter that slides over the picture does the same:
BICUBIC, HAMMING or BOX leave twice the difference, and more where the sides are no multiple of 8.

Not here: decoding and the cut that follows (`images`). Letters: k eighths of a side.
"""

from functools import cache
from typing import Final

import numpy as np

from lesionwise.arrays import Float32s, Floats, Pixels

BLOCK: Final = 8  # pixels of a JPEG block, ITU-T T.81, section A.3.3
_MEANS: Final = frozenset({1, 2, 4})
"""Eighths at which libjpeg takes plain means of neighbours; at the others it drops the upper frequencies."""
_HALF: Final = np.float32(0.5)


def eighths(sides: tuple[int, int], least: tuple[int, int]) -> int:
    """Return the smallest scale, in eighths, at which both sides are long enough; 8 where none is.

    Pillow's `draft` rounds the other way: asked for a quarter of 450 pixels, which is 113, it decodes half.
    """
    reached = (
        k for k in range(1, BLOCK) if _scaled(sides[0], k) >= least[0] and _scaled(sides[1], k) >= least[1]
    )
    return next(reached, BLOCK)


def scale_blocks(pixels: Pixels, k: int) -> Pixels:
    """Return a picture at k eighths of its size, as a JPEG of the same pixels would be decoded.

    References:
        Dugad and Ahuja (2001), https://doi.org/10.1109/76.915353 (scaling in the frequency domain)
    """
    if k == BLOCK:
        return pixels
    height, width = pixels.shape[:2]
    down, across = -(-height // BLOCK), -(-width // BLOCK)
    beyond = ((0, down * BLOCK - height), (0, across * BLOCK - width), (0, 0))
    blocks = np.pad(pixels, beyond, mode="edge").astype(np.float32).reshape(down, BLOCK, -1)
    rows = (_map(k) @ blocks).reshape(-1, BLOCK * 3)
    scaled = (rows @ _map_of_colours(k)).reshape(down * k, across * k, 3)
    inside = scaled[: _scaled(height, k), : _scaled(width, k)]
    inside += _HALF  # libjpeg rounds halves up
    return np.clip(inside, 0, 255, out=inside).astype(np.uint8)


def _scaled(side: int, k: int) -> int:
    return -(-side * k // BLOCK)


@cache
def _map(k: int) -> Float32s:
    """Return what a line of 8 pixels becomes, shape (k, 8)."""
    if k in _MEANS:
        return np.kron(np.eye(k), np.full((1, BLOCK // k), k / BLOCK)).astype(np.float32)
    kept = _cosines(k).T @ _cosines(BLOCK)[:k] * np.sqrt(k / BLOCK)
    return np.asarray(kept, np.float32)


@cache
def _map_of_colours(k: int) -> Float32s:
    """Return the same for a line of 8 pixels of three colours each, shape (24, 3 k)."""
    return np.ascontiguousarray(np.kron(_map(k), np.eye(3)).T, np.float32)


def _cosines(length: int) -> Floats:
    """Return the orthonormal discrete cosine transform of this length, shape (length, length)."""
    frequency, place = np.arange(length)[:, None], np.arange(length)[None, :] + 0.5
    waves = np.cos(np.pi * frequency * place / length) * np.sqrt(2 / length)
    waves[0] /= np.sqrt(2)
    return np.asarray(waves)
