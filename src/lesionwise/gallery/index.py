"""An index of many embeddings, which names the images that are worth a comparison: faiss, an extra.

It keeps each embedding in a short form, one byte for each of 128 principal components, in groups of images
that lie near each other, and looks only at the groups nearest to a query. Here: building it, keeping it as
bytes, and asking it. Not here: distances, which `gallery` computes from the embeddings themselves.

References:
    Douze et al. (2024), https://arxiv.org/abs/2401.08281 (faiss)
"""

import math
import warnings
from contextlib import suppress
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from lesionwise.errors import MissingExtraError

LEAST: Final = 50_000
"""Images from which on a gallery gets an index; up to there, comparing all takes some milliseconds."""
_COMPONENTS: Final = 128
_GROUPS_FOR_EACH_ROOT: Final = 2  # times the square root of the number of images
_GROUPS_ASKED: Final = 64  # of 2,000 in a million: a recall above .99
_SAMPLED: Final = 40  # images for each group, from which the groups are found
_AT_ONCE: Final = 10_000  # images that are added


class Index:
    """Says which images of many are likely to be the nearest.

    Args:
        content: What `to_bytes` returned.

    Raises:
        MissingExtraError: If faiss is not installed.
        ValueError: If it is no such index.
    """

    def __init__(self, content: NDArray[np.uint8]) -> None:
        faiss = _import_faiss()
        try:
            self._index = faiss.deserialize_index(np.array(content))
            self._groups = faiss.extract_index_ivf(self._index)
        except RuntimeError as error:
            raise ValueError(str(error)) from error
        self._groups.nprobe = _GROUPS_ASKED

    @classmethod
    def build(cls, embeddings: NDArray[np.float32]) -> Self:
        """Return the index of embeddings, shape (N, D)."""
        faiss = _import_faiss()
        count, numbers = embeddings.shape
        groups = max(1, round(_GROUPS_FOR_EACH_ROOT * math.sqrt(count)))
        made = faiss.index_factory(numbers, f"PCA{min(_COMPONENTS, numbers)},IVF{groups},SQ8")
        sample = np.random.default_rng(0).permutation(count)[: _SAMPLED * groups]
        made.train(np.ascontiguousarray(embeddings[np.sort(sample)]))
        for start in range(0, count, _AT_ONCE):
            made.add(np.ascontiguousarray(embeddings[start : start + _AT_ONCE]))
        return cls(faiss.serialize_index(made))

    def __len__(self) -> int:
        return int(self._index.ntotal)

    @property
    def shape(self) -> tuple[int, int]:
        """Number of images, and numbers of an embedding."""
        return len(self), self._index.d

    def to_bytes(self) -> NDArray[np.uint8]:
        """Return it as it is kept in a file."""
        content: NDArray[np.uint8] = _import_faiss().serialize_index(self._index)
        return content

    def candidates(self, unit: NDArray[np.float32], count: int) -> NDArray[np.int64]:
        """Return the rows of images that are likely to be the nearest, at most `count`.

        Args:
            unit: An embedding, shape (D,).
        """
        _, found = self._index.search(unit[None], count)
        rows: NDArray[np.int64] = found[0]
        inside = (rows >= 0) & (rows < len(self))  # it gives -1 where it found fewer
        return rows[inside]


def build_index(embeddings: NDArray[np.float32]) -> Index | None:
    """Return the index of a large gallery; None for a small one, or if faiss is not installed."""
    if len(embeddings) < LEAST:
        return None
    with suppress(MissingExtraError):  # `Gallery.advice` says so
        return Index.build(embeddings)
    return None


def read_index(content: NDArray[np.uint8], embeddings: NDArray[np.float32]) -> Index | None:
    """Return the index of a file; None if faiss is not installed.

    Raises:
        ValueError: If it is not the index of these embeddings.
    """
    try:
        index = Index(content)
    except MissingExtraError:
        return None
    if index.shape != embeddings.shape:
        raise ValueError("Expected an index of these embeddings.")
    return index


def _import_faiss() -> Any:  # noqa: ANN401 (a module without types)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of the interface that SWIG wrote for it
            import faiss  # noqa: PLC0415 (an extra)
    except ModuleNotFoundError as error:
        raise MissingExtraError("faiss", "gallery") from error
    return faiss
