"""An index of many short forms of embeddings, which names those that are likely to be near: faiss, an extra.

It keeps each form with one byte for each number, in groups that lie near each other, and looks only at the
groups nearest to a query. Here: building it, keeping it as bytes, and asking it. Not here: the short forms
(`shortlist`).

References:
    Douze et al. (2024), https://arxiv.org/abs/2401.08281 (faiss)
    benchmarks/speed/gallery_2cores_2026-11-30.md (why this library, and these numbers)
"""

import math
import warnings
from contextlib import suppress
from types import ModuleType
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from lesionwise.arrays import Float32s, Integers
from lesionwise.errors import MissingExtraError, import_extra

LEAST: Final = 50_000
"""Images from which on a gallery gets an index."""
_GROUPS_FOR_EACH_ROOT: Final = 2  # times the square root of the number of images
_GROUPS_ASKED: Final = 64  # of 2,000 in a million: a recall above .99
_SAMPLED: Final = 40  # forms for each group, from which the groups are found


class Index:
    """Names those of many short forms that are likely to be the nearest.

    Args:
        content: What `to_bytes` returned.

    Raises:
        MissingExtraError: If faiss is not installed.
        ValueError: If it is no such index.
    """

    def __init__(self, content: NDArray[np.uint8]) -> None:
        faiss = _import_faiss()
        if content.dtype != np.uint8:
            raise ValueError("Expected the bytes of an index.")
        try:
            self._index = faiss.deserialize_index(np.array(content))
            self._groups = faiss.extract_index_ivf(self._index)
        except RuntimeError as error:
            raise ValueError(str(error)) from error
        self._groups.nprobe = _GROUPS_ASKED

    @classmethod
    def build(cls, forms: Float32s) -> Self:
        """Return the index of short forms, shape (N, C)."""
        faiss = _import_faiss()
        count, numbers = forms.shape
        groups = round(_GROUPS_FOR_EACH_ROOT * math.sqrt(count))
        made = faiss.index_factory(numbers, f"IVF{groups},SQ8")
        made.train(forms[np.random.default_rng(0).permutation(count)[: _SAMPLED * groups]])
        made.add(forms)
        return cls(faiss.serialize_index(made))

    @property
    def shape(self) -> tuple[int, int]:
        """Number of forms, and numbers of each."""
        return int(self._index.ntotal), int(self._index.d)

    def to_bytes(self) -> NDArray[np.uint8]:
        """Return its bytes for a file."""
        content: NDArray[np.uint8] = _import_faiss().serialize_index(self._index)
        return content

    def candidates(self, form: Float32s, count: int) -> Integers:
        """Return the rows of forms that are likely to be the nearest to another one, at most `count`."""
        _, found = self._index.search(form[None], count)
        rows: Integers = found[0]
        return rows[(rows >= 0) & (rows < self.shape[0])]  # it gives -1 where it found fewer


def build_index(forms: Float32s) -> Index | None:
    """Return the index of many short forms; None for few, or if faiss is not installed."""
    if len(forms) < LEAST:
        return None
    with suppress(MissingExtraError):  # `Gallery.advice` says so
        return Index.build(forms)
    return None


def read_index(content: NDArray[np.uint8], forms: Float32s) -> Index | None:
    """Return the index that `to_bytes` gave; None if faiss is not installed.

    Raises:
        ValueError: If it is not the index of these forms.
    """
    with suppress(MissingExtraError):  # `Gallery.advice` says so
        index = Index(content)
        if index.shape != forms.shape:
            raise ValueError("Expected an index of these short forms.")
        return index
    return None


def _import_faiss() -> ModuleType:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of the interface that SWIG wrote for it
        return import_extra("faiss")
