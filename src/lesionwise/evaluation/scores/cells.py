"""Sums of images by cell, for all resamples at once.

Scores and curves are made of sums over images: a confusion matrix, counts at each threshold, bins. The
photographs of a lesion are drawn together, so they are first added up by lesion; one product with the counts
of the lesions then gives the sums of a whole block of resamples.

Not here: drawing the counts (`bootstrap`), and what is made of the sums (`resampled`, `curves`). Letters: K
cells.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from lesionwise.evaluation.scores.bootstrap import MANY, block_size, join_lesions, resample_counts
from lesionwise.evaluation.scores.weights import Floats, Integers, Lesions

_STEPS: Final = 512  # in which each of two kinds is ranked for the intervals of many images
_FEW: Final = 100  # cells; ladders have thousands, whose sums are added up in double precision later
_DENSE: Final = 0.1  # from this part of filled cells on a dense product is faster


@dataclass(frozen=True)
class Cells:
    """Images that are added up by cell.

    Attributes:
        cell: Cell of each image, shape (N,), values in [0, K).
        values: What each image adds, shape (N,); 1 if None.
    """

    cell: NDArray[np.integer]
    cells: int
    values: Floats | None = None

    def by_unit(self, unit: NDArray[np.intp], units: int) -> "csr_array[Any] | NDArray[Any]":
        """Return the sums of each unit of images, shape (K, L): exact where a cell sums up many of them."""
        added = np.ones(len(self.cell)) if self.values is None else self.values
        if self.cells > _FEW:
            added = added.astype(np.float32)
        sums: csr_array[Any] = csr_array((added, (self.cell, unit)), shape=(self.cells, units))
        return sums.toarray() if sums.nnz > _DENSE * self.cells * units else sums


def draw_sums(
    cells: Mapping[str, Cells], groups: Lesions, truth: Integers, *, resamples: int, seed: int
) -> Iterator[dict[str, Floats]]:
    """Draw lesions as `resample_weights` does, and yield the sums of each resample.

    Of more than `MANY` images, units of many lesions are drawn instead.

    Yields:
        Sums in blocks, each of shape (at most R, K).
    """
    _, lesion = np.unique(np.asarray(groups), return_inverse=True)
    many = len(truth) > MANY
    unit = join_lesions(lesion, truth) if many else lesion
    units = int(unit.max()) + 1
    block = block_size(units if many else len(truth))
    tables = {name: each.by_unit(unit, units) for name, each in cells.items()}
    for counts in resample_counts(unit, truth, resamples=resamples, seed=seed, block=block):
        yield {name: np.asarray((table @ counts).T, float) for name, table in tables.items()}


def ranked(score: Floats, positive: NDArray[np.bool_]) -> Floats:
    """Return scores that order images for an interval: as they are, or in steps if there are many."""
    return in_steps(score, positive) if len(score) > MANY else score


def in_steps(score: Floats, positive: NDArray[np.bool_]) -> Floats:
    """Return scores as numbers of steps, each with some 1 / `_STEPS` of either kind at most.

    Steps that hold equally many of all samples would put most of a rare class into one.
    """
    kinds = [np.sort(kind) for kind in (score[positive], score[~positive]) if len(kind)]
    chosen = [kind[np.linspace(0, len(kind) - 1, _STEPS + 1).astype(int)] for kind in kinds]
    return np.searchsorted(np.unique(np.concatenate(chosen)), score, "right").astype(float)
