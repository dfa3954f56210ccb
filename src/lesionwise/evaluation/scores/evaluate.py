"""All scores of a set of predictions, each with its interval: what `scores.json` holds.

Here: `evaluate` and its result. Not here: how a score is defined (`scores`, `ranking`, `probability`,
`selective`).

A new score is a function in one of these files and its name in `OVERALL` or `PER_CLASS`.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lesionwise.evaluation.scores import decision as scores
from lesionwise.evaluation.scores import probability, ranking, selective
from lesionwise.evaluation.scores.bootstrap import (
    RESAMPLES,
    Estimate,
    effective_lesions,
    fraction_estimate,
    resample_weights,
)
from lesionwise.evaluation.scores.means import spread_estimate
from lesionwise.evaluation.scores.weights import check_arguments, check_probabilities
from lesionwise.labels import CODES

Score = Callable[[ArrayLike, ArrayLike, ArrayLike | None], NDArray[np.float64]]
Scores = Mapping[str, Score]

OVERALL: Final[Scores] = {
    "balanced_accuracy": scores.balanced_accuracy_score,
    "accuracy": scores.accuracy_score,
    "macro_precision": scores.macro_precision_score,
    "macro_recall": scores.macro_recall_score,
    "macro_f1": scores.macro_f1_score,
    "weighted_precision": scores.weighted_precision_score,
    "weighted_recall": scores.weighted_recall_score,
    "weighted_f1": scores.weighted_f1_score,
    "macro_auc": ranking.macro_auc_score,
    "macro_average_precision": ranking.macro_average_precision_score,
    "log_loss": probability.log_loss,
    "brier": probability.brier_loss,
    "ece": probability.expected_calibration_error,
    "aurc": selective.aurc_loss,
}
PER_CLASS: Final[Scores] = {
    "precision": scores.precision_per_class,
    "recall": scores.recall_per_class,
    "specificity": scores.specificity_per_class,
    "f1": scores.f1_per_class,
    "auc": ranking.auc_per_class,
    "average_precision": ranking.average_precision_per_class,
}
MEANS: Final = {
    "balanced_accuracy": "recall",
    "macro_precision": "precision",
    "macro_recall": "recall",
    "macro_f1": "f1",
    "macro_auc": "auc",
    "macro_average_precision": "average_precision",
}
"""Scores that are means over classes, and of what."""
LOSSES: Final = frozenset({"log_loss", "brier", "ece", "aurc"})
"""Scores of which less is better."""


@dataclass(frozen=True)
class Evaluation:
    """Everything known about one model on one set of images.

    Attributes:
        images: Number of images.
        lesions: Number of lesions among them.
        overall: Estimate by score; `ece` is corrected for what chance adds to it.
        per_class: Estimate by score, by diagnosis.
        support: Images by diagnosis.
        confusion: Counts with true classes as rows, shape (C, C).
        baseline: What a model would score that knows nothing but how common each diagnosis is.
        resampled_by: "lesion", or "image" where the lesions are not known and intervals come out too narrow.
        subgroups: Rows of `subgroups.evaluate_subgroups`; empty without a table.
        gaps: Rows of `gaps.evaluate_gaps`; empty without a table.
    """

    images: int
    lesions: int
    overall: dict[str, Estimate]
    per_class: dict[str, dict[str, Estimate]]
    support: dict[str, int]
    confusion: list[list[int]]
    baseline: dict[str, float]
    resampled_by: str = "lesion"
    subgroups: list[dict[str, Any]] = field(default_factory=list)
    gaps: list[dict[str, Any]] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Return plain dictionaries and lists, as `scores.json` holds them."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "Evaluation":
        """Return the evaluation that `to_json` wrote."""
        overall = {name: Estimate(**estimate) for name, estimate in value["overall"].items()}
        per_class = {
            code: {name: Estimate(**estimate) for name, estimate in estimates.items()}
            for code, estimates in value["per_class"].items()
        }
        return cls(**{**value, "overall": overall, "per_class": per_class})


def evaluate(
    y_true: ArrayLike, y_prob: ArrayLike, groups: ArrayLike, *, resamples: int = RESAMPLES, seed: int = 0
) -> Evaluation:
    """Score predictions of the seven diagnoses, each score with an interval.

    Args:
        y_true: Class index of each image, shape (N,), in the order of `lesionwise.labels.CODES`.
        y_prob: Class probabilities, shape (N, 7), each row summing to 1.
        groups: Lesion of each image, shape (N,): the unit that is resampled.
        resamples: How many resamples the intervals rest on.
        seed: Of the resampling.

    Raises:
        ValueError: If the shapes do not fit, probabilities do not sum to 1 or a diagnosis has no image.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> y_true = np.arange(70) % 7
        >>> y_prob = rng.dirichlet(np.ones(7), size=70)
        >>> print(evaluate(y_true, y_prob, groups=np.arange(70)).overall["accuracy"])
        0.171 (0.079 to 0.270)
    """
    truth, prob, lesions = _check(y_true, y_prob, groups)
    own = {name: score for name, score in OVERALL.items() if name not in MEANS and name != "ece"}
    wanted = {**own, **PER_CLASS, "gaps": probability.calibration_gaps}
    drawn = draw_scores(wanted, truth, prob, lesions, resamples=resamples, seed=seed)
    drawn |= {name: drawn[of].mean(axis=1) for name, of in MEANS.items()}
    rests_on = _lesions_per_class(truth, prob, lesions)
    support = np.bincount(truth, minlength=len(CODES))
    return Evaluation(
        images=len(truth),
        lesions=len(np.unique(lesions)),
        overall=_overall(truth, prob, drawn, rests_on),
        per_class=_per_class(truth, prob, drawn, rests_on),
        support={code: int(count) for code, count in zip(CODES, support, strict=True)},
        confusion=scores.confusion_matrix(truth, prob).astype(int).tolist(),
        baseline=_baseline(truth),
    )


def draw_scores(
    of: Scores,
    y_true: ArrayLike,
    y_prob: ArrayLike,
    groups: ArrayLike,
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> dict[str, NDArray[np.float64]]:
    """Return each score of each resample, shape (R,) or (R, C); the same seed draws the same lesions."""
    drawn: dict[str, list[NDArray[np.float64]]] = {name: [] for name in of}
    for weights in resample_weights(groups, y_true, resamples=resamples, seed=seed):
        for name, score in of.items():
            drawn[name].append(score(y_true, y_prob, weights))
    return {name: np.concatenate(blocks) for name, blocks in drawn.items()}


def _check(
    y_true: ArrayLike, y_prob: ArrayLike, groups: ArrayLike
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[Any]]:
    truth, prob = check_arguments(y_true, y_prob)
    check_probabilities(prob)
    if prob.shape[1] != len(CODES):
        raise ValueError(f"Expected probabilities of {len(CODES)} diagnoses but got {prob.shape[1]} columns.")
    lesions = np.asarray(groups)
    if lesions.shape != truth.shape:
        raise ValueError(f"Expected a group for each of {len(truth)} images but got shape {lesions.shape}.")
    absent = [code for code, count in zip(CODES, np.bincount(truth, minlength=7), strict=True) if count == 0]
    if absent:
        raise ValueError(
            f"Expected images of every diagnosis but there is none of {', '.join(absent)}: "
            "its recall, and with it the balanced accuracy, is undefined."
        )
    return truth, prob, lesions


def _lesions_per_class(
    truth: NDArray[np.int64], prob: NDArray[np.float64], lesions: NDArray[Any]
) -> dict[str, list[int]]:
    """Return, for each score, the number of lesions that it rests on in each class."""
    called = prob.argmax(axis=1)

    def count(inside: Callable[[int], NDArray[np.bool_]]) -> list[int]:
        return [len(np.unique(lesions[inside(index)])) for index in range(len(CODES))]

    return {
        **dict.fromkeys(PER_CLASS, count(lambda index: truth == index)),
        "specificity": count(lambda index: truth != index),
        "precision": count(lambda index: called == index),
    }


def _overall(
    truth: NDArray[np.int64],
    prob: NDArray[np.float64],
    drawn: Mapping[str, NDArray[np.float64]],
    rests_on: Mapping[str, list[int]],
) -> dict[str, Estimate]:
    estimates = {}
    for name, score in OVERALL.items():
        value = float(score(truth, prob, None))
        if name == "ece":
            gaps = probability.calibration_gaps(truth, prob)
            estimates[name] = probability.calibration_estimate(gaps, drawn["gaps"])
        elif name in MEANS:
            of = MEANS[name]
            effective = effective_lesions(drawn[of], rests_on[of])
            estimates[name] = fraction_estimate(value, drawn[name], effective)
        else:
            estimates[name] = spread_estimate(value, drawn[name])
    return estimates


def _per_class(
    truth: NDArray[np.int64],
    prob: NDArray[np.float64],
    drawn: Mapping[str, NDArray[np.float64]],
    rests_on: Mapping[str, list[int]],
) -> dict[str, dict[str, Estimate]]:
    values = {name: score(truth, prob, None) for name, score in PER_CLASS.items()}
    return {
        code: {
            name: fraction_estimate(float(values[name][index]), drawn[name][:, index], rests_on[name][index])
            for name in PER_CLASS
        }
        for index, code in enumerate(CODES)
    }


def _baseline(y_true: NDArray[np.int64]) -> dict[str, float]:
    """Score the constant answer of each diagnosis's frequency, which calls everything the commonest."""
    frequency = np.bincount(y_true, minlength=len(CODES)) / len(y_true)
    always = np.tile(frequency, (len(y_true), 1))
    return {name: float(score(y_true, always, None)) for name, score in OVERALL.items()}
