"""Every score of predictions one by one, alone or under the weights of resamples."""

from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lesionwise.evaluation.scores import decision, probability, ranking
from lesionwise.evaluation.scores.curves import aurc_of, confidence_ranks
from lesionwise.evaluation.scores.weights import check_arguments, sum_by

Floats = NDArray[np.float64]
Measure = Callable[[Floats], Floats]
Score = Callable[[ArrayLike, ArrayLike, ArrayLike | None], Floats]


def _of_confusion(measure: Measure) -> Score:
    return lambda y_true, y_prob, weights: measure(decision.confusion_matrix(y_true, y_prob, weights))


def _macro(per_class: Measure) -> Score:
    return _of_confusion(lambda confusion: np.asarray(per_class(confusion).mean(-1)))


def _weighted(per_class: Measure) -> Score:
    return _of_confusion(partial(decision.weighted_of, per_class))


def average_precision_per_class(
    y_true: ArrayLike, y_prob: ArrayLike, weights: ArrayLike | None = None
) -> Floats:
    truth, prob = check_arguments(y_true, y_prob)
    found = []
    for index in range(prob.shape[1]):
        cell, levels = ranking.ladder_cells(truth == index, prob[:, index])
        ladder = ranking.climb(sum_by(cell, 3 * levels + 1, weights))
        found.append(ranking.average_precision_of(*ladder))
    return np.stack(found, axis=-1)


def _macro_average_precision(y_true: ArrayLike, y_prob: ArrayLike, weights: ArrayLike | None) -> Floats:
    return np.asarray(average_precision_per_class(y_true, y_prob, weights).mean(-1))


def aurc_loss(y_true: ArrayLike, y_prob: ArrayLike, weights: ArrayLike | None = None) -> Floats:
    truth, prob = check_arguments(y_true, y_prob)
    levels, rank = confidence_ranks(prob.max(axis=1))
    wrong = (prob.argmax(axis=1) != truth).astype(float)
    return aurc_of(sum_by(rank, levels, weights), sum_by(rank, levels, weights, values=wrong))


OVERALL: dict[str, Score] = {
    "balanced_accuracy": decision.balanced_accuracy_score,
    "accuracy": decision.accuracy_score,
    "macro_precision": _macro(decision.precision_of),
    "macro_recall": decision.macro_recall_score,
    "macro_f1": _macro(decision.f1_of),
    "weighted_precision": _weighted(decision.precision_of),
    "weighted_recall": _weighted(decision.recall_of),
    "weighted_f1": _weighted(decision.f1_of),
    "macro_auc": ranking.macro_auc_score,
    "macro_average_precision": _macro_average_precision,
    "log_loss": probability.log_loss,
    "brier": probability.brier_loss,
    "ece": probability.expected_calibration_error,
    "aurc": aurc_loss,
}
PER_CLASS: dict[str, Score] = {
    "precision": _of_confusion(decision.precision_of),
    "recall": decision.recall_per_class,
    "specificity": _of_confusion(decision.specificity_of),
    "f1": _of_confusion(decision.f1_of),
    "auc": ranking.auc_per_class,
    "average_precision": average_precision_per_class,
}
