"""All scores of all resamples at once.

Every score is made of sums over images: the confusion matrix, the ladder of each class, the bins of the
calibration error. The photographs of a lesion are drawn together, so they are first added up by lesion; one
product with the counts of the lesions then gives the sums of a whole block of resamples.

Here: these sums, and the scores made of them. Not here: what a score is (`decision`, `ranking`,
`probability`, `selective`) and its interval (`bootstrap`). Letters: K cells.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from lesionwise.evaluation.scores import decision, probability, ranking, selective
from lesionwise.evaluation.scores.bootstrap import MANY, block_size, join_lesions, resample_counts
from lesionwise.evaluation.scores.weights import Floats, Integers, sum_by

_STEPS: Final = 512  # in which probabilities are ranked for the intervals of many images
_FEW: Final = 100  # cells; ladders have thousands, whose sums are added up in double precision later
_DENSE: Final = 0.1  # from this part of filled cells on a dense product is faster


@dataclass(frozen=True)
class _Table:
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


def score_all(truth: Integers, prob: Floats) -> dict[str, Floats]:
    """Return every score of the images, each a number or of shape (C,), and the `gaps` of calibration."""
    tables = _tables(truth, prob)
    sums = {name: sum_by(table.cell, table.cells, values=table.values) for name, table in tables.items()}
    return _scores(sums, prob.shape[1])


def draw_all(
    truth: Integers, prob: Floats, lesion: NDArray[np.intp], *, resamples: int, seed: int
) -> dict[str, Floats]:
    """Return every score of every resample, each of shape (R,) or (R, C)."""
    many = len(truth) > MANY
    unit = join_lesions(lesion, truth) if many else lesion
    units = int(unit.max()) + 1
    block = block_size(units if many else len(truth))
    tables = {name: table.by_unit(unit, units) for name, table in _tables(truth, prob, coarse=many).items()}
    blocks = [
        _scores(
            {name: np.asarray((table @ counts).T, float) for name, table in tables.items()}, prob.shape[1]
        )
        for counts in resample_counts(unit, truth, resamples=resamples, seed=seed, block=block)
    ]
    return {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}


def _tables(truth: Integers, prob: Floats, *, coarse: bool = False) -> dict[str, _Table]:
    called, classes = prob.argmax(axis=1), prob.shape[1]
    right, none = called == truth, np.zeros(len(truth), np.intp)
    confidence, bin_ = probability.confidence_bins(prob)
    levels, rank = selective.confidence_ranks(_in_steps(confidence)[:, None] if coarse else prob)
    tables = {
        "confusion": _Table(truth * classes + called, classes**2),
        "log_loss": _Table(none, 1, probability.surprises(truth, prob)),
        "brier": _Table(none, 1, probability.squared_distances(truth, prob)),
        "gaps": _Table(bin_, probability.BINS, right - confidence),
        "sure": _Table(rank, levels),
        "sure_and_wrong": _Table(rank, levels, (~right).astype(float)),
    }
    for index in range(classes):
        score = _in_steps(prob[:, index]) if coarse else prob[:, index]
        cell, steps = ranking.ladder_cells(truth == index, score)
        tables[f"ladder {index}"] = _Table(cell, 3 * steps + 1)
    return tables


def _scores(sums: Mapping[str, Floats], classes: int) -> dict[str, Floats]:
    confusion = sums["confusion"].reshape(*sums["confusion"].shape[:-1], classes, classes)
    images = confusion.sum((-2, -1))
    ladders = [ranking.climb(sums[f"ladder {index}"]) for index in range(classes)]
    return {
        "accuracy": decision.accuracy_of(confusion),
        "precision": decision.precision_of(confusion),
        "recall": decision.recall_of(confusion),
        "specificity": decision.specificity_of(confusion),
        "f1": decision.f1_of(confusion),
        "weighted_precision": decision.weighted_of(decision.precision_of, confusion),
        "weighted_recall": decision.weighted_of(decision.recall_of, confusion),
        "weighted_f1": decision.weighted_of(decision.f1_of, confusion),
        "auc": np.stack([ranking.auc_of(*ladder) for ladder in ladders], axis=-1),
        "average_precision": np.stack([ranking.average_precision_of(*ladder) for ladder in ladders], axis=-1),
        "log_loss": sums["log_loss"][..., 0] / images,
        "brier": sums["brier"][..., 0] / images,
        "gaps": sums["gaps"] / images[..., None],
        "aurc": selective.aurc_of(sums["sure"], sums["sure_and_wrong"]),
    }


def _in_steps(score: Floats) -> Floats:
    """Return scores as numbers of steps that hold about equally many of them."""
    edges = np.unique(np.quantile(score, np.arange(1, _STEPS) / _STEPS))
    return np.searchsorted(edges, score, "right").astype(float)
