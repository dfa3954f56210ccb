"""All scores of all resamples at once.

Here: the sums that scores are made of, and the scores. Not here: adding them up for each resample (`cells`),
what a score is (`decision`, `ranking`, `probability`, `selective`) and its interval (`bootstrap`).
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from lesionwise.evaluation.scores import decision, probability, ranking, selective
from lesionwise.evaluation.scores.bootstrap import MANY
from lesionwise.evaluation.scores.cells import Cells, draw_sums, in_steps
from lesionwise.evaluation.scores.weights import Floats, Integers, sum_by


def score_all(truth: Integers, prob: Floats) -> dict[str, Floats]:
    """Return every score of the images, each a number or of shape (C,), and the `gaps` of calibration."""
    tables = _tables(truth, prob)
    sums = {name: sum_by(table.cell, table.cells, values=table.values) for name, table in tables.items()}
    return _scores(sums, prob.shape[1])


def draw_all(
    truth: Integers, prob: Floats, lesion: NDArray[np.intp], *, resamples: int, seed: int
) -> dict[str, Floats]:
    """Return every score of every resample, each of shape (R,) or (R, C)."""
    tables = _tables(truth, prob, coarse=len(truth) > MANY)
    blocks = [
        _scores(sums, prob.shape[1])
        for sums in draw_sums(tables, lesion, truth, resamples=resamples, seed=seed)
    ]
    return {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}


def _tables(truth: Integers, prob: Floats, *, coarse: bool = False) -> dict[str, Cells]:
    called, classes = prob.argmax(axis=1), prob.shape[1]
    right, none = called == truth, np.zeros(len(truth), np.intp)
    confidence, bin_ = probability.confidence_bins(prob)
    levels, rank = selective.confidence_ranks(in_steps(confidence, ~right)[:, None] if coarse else prob)
    tables = {
        "confusion": Cells(truth * classes + called, classes**2),
        "log_loss": Cells(none, 1, probability.surprises(truth, prob)),
        "brier": Cells(none, 1, probability.squared_distances(truth, prob)),
        "gaps": Cells(bin_, probability.BINS, right - confidence),
        "sure": Cells(rank, levels),
        "sure_and_wrong": Cells(rank, levels, (~right).astype(float)),
    }
    for index in range(classes):
        positive, score = truth == index, prob[:, index]
        cell, steps = ranking.ladder_cells(positive, in_steps(score, positive) if coarse else score)
        tables[f"ladder {index}"] = Cells(cell, 3 * steps + 1)
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
