"""Kinds of arrays that many rooms share, and what is done with their rows everywhere."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
"""Images: RGB, shape (..., H, W, 3), or grey, shape (..., H, W)."""
Float32s = NDArray[np.float32]
"""Numbers as networks take and give them, of any shape."""
Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Booleans = NDArray[np.bool_]


def lead(values: NDArray[np.floating]) -> Floats:
    """Return by how much the largest value of each row exceeds the second largest, shape (N,)."""
    second, largest = np.partition(np.asarray(values, float), -2, axis=1)[:, -2:].T
    return np.asarray(largest - second)


def blocks(rows: int, size: int) -> Iterator[slice]:
    """Return slices of at most `size` rows that cover a number of rows."""
    return (slice(start, min(start + size, rows)) for start in range(0, rows, size))
