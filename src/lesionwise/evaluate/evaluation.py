"""All scores of a set of predictions, each with its interval: what `scores.json` holds.

Here: `evaluate` and its result. Not here: how a score is defined (`scores`).

A new score is a function in `scores` and its name in `OVERALL` or `PER_CLASS`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lesionwise.evaluate import scores
from lesionwise.evaluate.bootstrap import RESAMPLES, percentile_interval, resample_weights
from lesionwise.labels import CODES

Score = Callable[[ArrayLike, ArrayLike, ArrayLike | None], NDArray[np.float64]]

OVERALL: Final[dict[str, Score]] = {
    "balanced_accuracy": scores.balanced_accuracy_score,
    "accuracy": scores.accuracy_score,
    "macro_precision": scores.macro_precision_score,
    "macro_recall": scores.macro_recall_score,
    "macro_f1": scores.macro_f1_score,
}
PER_CLASS: Final[dict[str, Score]] = {
    "precision": scores.precision_per_class,
    "recall": scores.recall_per_class,
    "f1": scores.f1_per_class,
}


@dataclass(frozen=True)
class Estimate:
    """A score and the 95 % interval around it."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} ({self.low:.3f} to {self.high:.3f})"


@dataclass(frozen=True)
class Evaluation:
    """Everything known about one model on one set of images.

    Attributes:
        images: Number of images.
        lesions: Number of lesions among them.
        overall: Estimate by score.
        per_class: Estimate by score, by diagnosis.
        support: Images by diagnosis.
        confusion: Counts with true classes as rows, shape (C, C).
        baseline: What always answering the commonest class would score.
    """

    images: int
    lesions: int
    overall: dict[str, Estimate]
    per_class: dict[str, dict[str, Estimate]]
    support: dict[str, int]
    confusion: list[list[int]]
    baseline: dict[str, float]

    def to_json(self) -> dict[str, Any]:
        """Return plain dictionaries and lists, as `scores.json` holds them."""
        return {
            "images": self.images,
            "lesions": self.lesions,
            "overall": {name: vars(estimate) for name, estimate in self.overall.items()},
            "per_class": {
                code: {name: vars(estimate) for name, estimate in estimates.items()}
                for code, estimates in self.per_class.items()
            },
            "support": self.support,
            "confusion": self.confusion,
            "baseline": self.baseline,
        }

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
        y_prob: Class probabilities, shape (N, 7).
        groups: Lesion of each image, shape (N,): the unit that is resampled.
        resamples: How many resamples the intervals rest on.
        seed: Of the resampling.

    Raises:
        ValueError: If the shapes do not fit or a diagnosis has no image.
    """
    truth, prob, lesions = np.asarray(y_true), np.asarray(y_prob, float), np.asarray(groups)
    if lesions.shape != truth.shape:
        raise ValueError(f"Expected a group for each of {len(truth)} images but got shape {lesions.shape}.")
    drawn: dict[str, list[NDArray[np.float64]]] = {name: [] for name in (*OVERALL, *PER_CLASS)}
    for weights in resample_weights(lesions, truth, resamples=resamples, seed=seed):
        for name, score in (OVERALL | PER_CLASS).items():
            drawn[name].append(score(truth, prob, weights))
    estimates = {
        name: _estimates(score(truth, prob, None), np.concatenate(drawn[name]))
        for name, score in (OVERALL | PER_CLASS).items()
    }
    support = np.bincount(truth, minlength=len(CODES))
    return Evaluation(
        images=len(truth),
        lesions=len(np.unique(lesions)),
        overall={name: estimates[name][0] for name in OVERALL},
        per_class={
            code: {name: estimates[name][index] for name in PER_CLASS} for index, code in enumerate(CODES)
        },
        support={code: int(count) for code, count in zip(CODES, support, strict=True)},
        confusion=scores.confusion_matrix(truth, prob).astype(int).tolist(),
        baseline=_majority_baseline(truth),
    )


def _estimates(values: NDArray[np.float64], drawn: NDArray[np.float64]) -> list[Estimate]:
    low, high = percentile_interval(drawn)
    bounds = zip(np.ravel(values), np.ravel(low), np.ravel(high), strict=True)
    return [Estimate(float(value), float(lowest), float(highest)) for value, lowest, highest in bounds]


def _majority_baseline(y_true: NDArray[np.int64]) -> dict[str, float]:
    always = np.zeros((len(y_true), len(CODES)))
    always[:, np.bincount(y_true).argmax()] = 1
    return {name: float(score(y_true, always, None)) for name, score in OVERALL.items()}
