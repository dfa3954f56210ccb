"""The images of a gallery that are worth a comparison with another image.

An embedding has more than a thousand numbers, of which most say little. Its short form holds its first 128
principal components and the length of what these leave out. The distance of two short forms is never longer
than that of the embeddings: if x' is the part of x that the components hold, and x" the rest, then
|x - y|² = |x' - y'|² + |x" - y"|² >= |x' - y'|² + (|x"| - |y"|)². So the images that are near by their short
forms are compared in full; the others are certainly farther away.

In a large gallery, there are too many short forms to look at, and an index (`index`) names those that are
likely to be near. Here: short forms, and which images they name. Not here: distances of embeddings
(`gallery`).

The products are those of `numpy.vecdot`, which uses one thread. The threads of a matrix product wait for each
other, and on busy cores that took forty times as long as the work.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from lesionwise.arrays import Float32s, Integers, blocks
from lesionwise.gallery.index import Index, build_index, read_index

Look = Callable[[int], tuple[Integers, float]]
"""Returns rows of about so many images, and the distance up to which all images are among them."""
_COMPONENTS: Final = 128
_SAMPLED: Final = 2000  # images that the components are computed from
_ROUNDS: Final = 3  # of subspace iteration
_AT_ONCE: Final = 1000  # images that are shortened
_VERIFIED: Final = 20  # images whose short forms are computed again when a gallery is opened
_VERIFIED_TO: Final = 1e-3
_ROUNDING: Final = 1e-5  # more than a distance of short forms is wrong by in float32


@dataclass(frozen=True)
class Shortlist:
    """Short forms of the embeddings of a gallery.

    Attributes:
        middle: Mean of the embeddings, shape (D,).
        axes: Directions of the principal components, shape (C, D).
        forms: Short form of each embedding, shape (N, C + 1).
        index: Names the forms that are worth a look; None if all are looked at.
    """

    middle: Float32s
    axes: Float32s
    forms: Float32s
    index: Index | None = None

    @classmethod
    def build(cls, embeddings: Float32s) -> Self:
        """Return the short forms of embeddings of length 1, shape (N, D), and an index if they are many."""
        rng = np.random.default_rng(0)
        sample = embeddings[np.sort(rng.permutation(len(embeddings))[:_SAMPLED])]
        middle = sample.mean(axis=0)
        axes = _principal_axes(sample - middle, rng)
        forms = np.empty((len(embeddings), len(axes) + 1), np.float32)
        for some in blocks(len(embeddings), _AT_ONCE):
            forms[some] = _shorten(embeddings[some], middle, axes)
        return cls(middle, axes, forms, build_index(forms))

    @classmethod
    def read(cls, arrays: Mapping[str, NDArray[Any]], embeddings: Float32s) -> Self:
        """Return the short forms that `arrays` returned.

        Raises:
            ValueError: If it does not fit the embeddings.
            KeyError: If a part is missing.
        """
        middle, axes, forms = (arrays[name] for name in ("middle", "axes", "forms"))
        count, numbers = embeddings.shape
        shapes = (middle.shape, axes.shape[1:], forms.shape)
        if shapes != ((numbers,), (numbers,), (count, len(axes) + 1)) or forms.dtype != np.float32:
            raise ValueError("Expected short forms of these embeddings.")
        some = np.unique(np.linspace(0, count - 1, _VERIFIED, dtype=np.int64))
        if not np.allclose(forms[some], _shorten(embeddings[some], middle, axes), atol=_VERIFIED_TO):
            raise ValueError("Expected short forms of these embeddings.")
        return cls(middle, axes, forms, read_index(arrays["index"], forms) if "index" in arrays else None)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return its arrays for a file."""
        kept: dict[str, NDArray[Any]] = {"middle": self.middle, "axes": self.axes, "forms": self.forms}
        return kept if self.index is None else kept | {"index": self.index.to_bytes()}

    def look_around(self, unit: Float32s) -> Look:
        """Return the function that names the images worth comparing with an embedding, shape (D,)."""
        form = _shorten(unit, self.middle, self.axes)
        if self.index is not None:
            return partial(self._ask, self.index, form)
        least = (self._squares + np.vecdot(form, form)) / 2 - np.vecdot(self.forms, form)
        return partial(self._choose, least)

    @cached_property
    def _squares(self) -> Float32s:
        return np.asarray(np.vecdot(self.forms, self.forms), np.float32)

    def _choose(self, least: Float32s, reach: int) -> tuple[Integers, float]:
        """Return the images whose distances may be the smallest, by their least distances, shape (N,)."""
        if reach >= len(least):
            return np.arange(len(least)), np.inf
        rows = np.argpartition(least, reach - 1)[:reach]
        return np.sort(rows), float(least[rows].max()) - _ROUNDING

    def _ask(self, index: Index, form: Float32s, reach: int) -> tuple[Integers, float]:
        """Return the images that the index names; it promises nothing, so none is known to be missing."""
        if reach >= len(self.forms):
            return np.arange(len(self.forms)), np.inf
        return np.sort(index.candidates(form, reach)), np.inf


def _principal_axes(apart: Float32s, rng: np.random.Generator) -> Float32s:
    """Return about the first principal axes of a sample, shape (C, D).

    Any directions that are at right angles to each other would give the same search; these make it fast.
    """
    from threadpoolctl import threadpool_limits  # noqa: PLC0415 (an extra, for making a gallery)

    numbers = apart.shape[1]
    axes = rng.normal(size=(numbers, min(_COMPONENTS, numbers))).astype(np.float32)
    with threadpool_limits(1):
        for _ in range(_ROUNDS):
            axes = np.linalg.qr(apart.T @ (apart @ axes))[0]
    return np.ascontiguousarray(axes.T, np.float32)


def _shorten(units: Float32s, middle: Float32s, axes: Float32s) -> Float32s:
    """Return the short forms of embeddings, shapes (..., D) and (..., C + 1)."""
    apart = units - middle
    held = np.vecdot(apart[..., None, :], axes)
    rest = np.vecdot(apart, apart) - np.vecdot(held, held)
    return np.concatenate([held, np.sqrt(np.maximum(0, rest))[..., None]], axis=-1)
