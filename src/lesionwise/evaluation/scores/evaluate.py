"""All scores of a set of predictions, each with its interval: what `scores.json` holds.

Here: `evaluate`, its result, and the scores of all resamples at once. Not here: how a score is defined
(`decision`, `ranking`, `probability`, `curves`), and its interval (`bootstrap`).

A new score is a function in one of these files, its name in `OVERALL` or `PER_CLASS`, and its line in
`_scores`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lesionwise.arrays import Booleans, Floats, Integers
from lesionwise.evaluation.scores import curves, decision, probability, ranking
from lesionwise.evaluation.scores.arguments import scoring_arrays
from lesionwise.evaluation.scores.bootstrap import (
    MANY,
    RESAMPLES,
    Cells,
    Estimate,
    draw_sums,
    effective_lesions,
    fraction_estimate,
    in_steps,
    resample_weights,
    spread_estimate,
)
from lesionwise.evaluation.scores.weights import Lesions, Probs, Truth, sum_by
from lesionwise.files import JsonRecord
from lesionwise.labels import CODES

Score = Callable[[ArrayLike, ArrayLike, ArrayLike | None], Floats]
Scores = Mapping[str, Score]

OVERALL: Final[tuple[str, ...]] = (
    *("balanced_accuracy", "accuracy", "macro_precision", "macro_recall", "macro_f1"),
    *("weighted_precision", "weighted_recall", "weighted_f1", "macro_auc", "macro_average_precision"),
    *("log_loss", "brier", "ece", "aurc"),
)
PER_CLASS: Final = ("precision", "recall", "specificity", "f1", "auc", "average_precision")
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
class Evaluation(JsonRecord):
    """Everything known about one model on one set of images.

    Attributes:
        overall: Estimate by score; `ece` is corrected for what chance adds to it.
        per_class: Estimate by score, by diagnosis.
        confusion: Counts with true classes as rows, shape (C, C).
        baseline: What a model would score that knows nothing but how common each diagnosis is.
        resampled_by: "lesion", or "image" where the lesions are not known and intervals come out too narrow.
        subgroups: Rows of `subgroups.evaluate_subgroups`; empty without a table.
        gaps: Rows of `gaps.evaluate_gaps`; empty without a table.
        undefined: Scores that these images do not define, such as "recall of df" where no image shows one.
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
    undefined: list[str] = field(default_factory=list)

    @property
    def diagnoses(self) -> list[str]:
        """The diagnoses that have images, over which means are taken."""
        return [code for code, count in self.support.items() if count]

    def title(self, score: str) -> str:
        """Return what a score is called: a mean over fewer than all diagnoses says so."""
        return mean_title(score, len(self.diagnoses))


def mean_title(score: str, diagnoses: int) -> str:
    """Return what a score of images that show so many diagnoses is called.

    Example:
        >>> mean_title("balanced_accuracy", 5), mean_title("accuracy", 5)
        ('balanced accuracy over 5 of 7', 'accuracy')
    """
    over = f" over {diagnoses} of {len(CODES)}" if score in MEANS and diagnoses < len(CODES) else ""
    return f"{score.replace('_', ' ')}{over}"


def evaluate(
    y_true: ArrayLike,
    y_prob: ArrayLike,
    groups: ArrayLike,
    *,
    classes: Sequence[str] | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Evaluation:
    """Score predictions of the seven diagnoses, each score with an interval.

    A test set may lack diagnoses: every score that is defined is given, means are taken over the diagnoses
    that have images, and what is undefined is named in the result.

    Args:
        y_true: Diagnosis of each image, shape (N,): codes as "mel", or indices in the order of `classes`.
        y_prob: Class probabilities, shape (N, C), each row summing to 1. The columns of a DataFrame are taken
            by their names (`mel`, `MEL` or `prob_mel`), those of an array in the order of `classes`.
        groups: Lesion of each image, shape (N,): the unit that is resampled.
        classes: Codes in the order of the columns and indices; `lesionwise.labels.CODES` if left out. Of a
            model that knows some of the seven only, those; it gives the others a probability of 0.
        resamples: Number of resamples for the intervals.
        seed: Seed of the resampling.

    Raises:
        ValueError: If the shapes do not fit, probabilities do not sum to 1, or what an index, a column or a
            row stands for is ambiguous.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> y_true = np.arange(70) % 7
        >>> y_prob = rng.dirichlet(np.ones(7), size=70)
        >>> print(evaluate(y_true, y_prob, groups=np.arange(70)).overall["accuracy"])
        0.171 (0.079 to 0.270)
    """
    truth, prob, lesions = scoring_arrays(y_true, y_prob, groups, classes=classes)
    measured = measure(truth, prob, lesions, resamples=resamples, seed=seed)
    support = np.bincount(truth, minlength=len(CODES))
    rests_on = _lesions_per_class(truth, prob, measured.lesion)
    return Evaluation(
        images=len(truth),
        lesions=int(measured.lesion.max()) + 1,
        overall=_overall(measured, rests_on),
        per_class=_per_class(measured, rests_on),
        support={code: int(count) for code, count in zip(CODES, support, strict=True)},
        confusion=decision.confusion_matrix(truth, prob).astype(int).tolist(),
        baseline=_baseline(truth),
        undefined=_undefined(measured),
    )


@dataclass(frozen=True)
class Measured:
    """Every score of the images and of each resample.

    Attributes:
        defined: Diagnoses that have it, for each score of `PER_CLASS`, shape (C,).
        values: The scores of the images: a number, or of shape (C,).
        drawn: Those of the resamples: shape (R,), or (R, C).
    """

    lesion: NDArray[np.intp]
    defined: dict[str, Booleans]
    values: dict[str, Floats]
    drawn: dict[str, Floats]


def measure(truth: Integers, prob: Floats, lesions: NDArray[Any], *, resamples: int, seed: int) -> Measured:
    """Work out every score that is defined, for the images and for each resample.

    A mean over diagnoses is that over the diagnoses that have images, and is left out if there is none.
    """
    _, lesion = np.unique(lesions, return_inverse=True)
    values, defined = score_all(truth, prob), _defined(truth, prob)
    drawn = draw_all(truth, prob, lesion, resamples=resamples, seed=seed)
    for name, over in _averaged(defined).items():
        values[name] = values[MEANS[name]][over].mean()
        drawn[name] = drawn[MEANS[name]][:, over].mean(axis=1)
    return Measured(lesion, defined, values, drawn)


def draw_scores(
    of: Scores, y_true: Truth, y_prob: Probs, groups: Lesions, *, resamples: int = RESAMPLES, seed: int = 0
) -> dict[str, Floats]:
    """Return each score of each resample, shape (R,) or (R, C); the same seed draws the same lesions."""
    drawn: dict[str, list[Floats]] = {name: [] for name in of}
    for weights in resample_weights(groups, y_true, resamples=resamples, seed=seed):
        for name, score in of.items():
            drawn[name].append(score(y_true, y_prob, weights))
    return {name: np.concatenate(blocks) for name, blocks in drawn.items()}


def _defined(truth: Integers, prob: Floats) -> dict[str, Booleans]:
    """Return, for each score of a diagnosis, the diagnoses that have it among these images."""
    present = np.bincount(truth, minlength=len(CODES)) > 0
    called = np.bincount(prob.argmax(axis=1), minlength=len(CODES)) > 0
    both_there = present & (present.sum() > 1)
    return {
        "precision": present | called,
        "recall": present,
        "specificity": present.sum() > present,  # images of other diagnoses are there
        "f1": present,
        "auc": both_there,
        "average_precision": both_there,
    }


def _averaged(defined: Mapping[str, Booleans]) -> dict[str, Booleans]:
    """Return the diagnoses that each mean is taken over, shape (C,), without the means that have none."""
    return {name: defined[of] & defined["recall"] for name, of in MEANS.items() if defined[of].any()}


def _undefined(measured: Measured) -> list[str]:
    means = [name for name in MEANS if name not in measured.values]
    return means + [
        f"{name} of {code}"
        for name, defined in measured.defined.items()
        for code, is_defined in zip(CODES, defined, strict=True)
        if not is_defined
    ]


def _lesions_per_class(truth: Integers, prob: Floats, lesion: NDArray[np.intp]) -> dict[str, Integers]:
    """Return, for each score, the number of lesions that it rests on in each class."""
    called = prob.argmax(axis=1)

    def count(inside: Callable[[int], Booleans]) -> Integers:
        return np.array([np.count_nonzero(np.bincount(lesion[inside(index)])) for index in range(len(CODES))])

    return {
        **dict.fromkeys(PER_CLASS, count(lambda index: truth == index)),
        "specificity": count(lambda index: truth != index),
        "precision": count(lambda index: called == index),
    }


def _overall(measured: Measured, rests_on: Mapping[str, Integers]) -> dict[str, Estimate]:
    values, drawn, averaged = measured.values, measured.drawn, _averaged(measured.defined)
    estimates = {"ece": probability.calibration_estimate(values["gaps"], drawn["gaps"])}
    for name in OVERALL:
        if name in averaged:
            of, over = MEANS[name], averaged[name]
            effective = effective_lesions(drawn[of][:, over], rests_on[of][over])
            estimates[name] = fraction_estimate(float(values[name]), drawn[name], effective)
        elif name in values and name not in MEANS:
            estimates[name] = spread_estimate(float(values[name]), drawn[name])
    return {name: estimates[name] for name in OVERALL if name in estimates}


def _per_class(measured: Measured, rests_on: Mapping[str, Integers]) -> dict[str, dict[str, Estimate]]:
    return {
        code: {
            name: fraction_estimate(
                float(measured.values[name][index]),
                measured.drawn[name][:, index],
                int(rests_on[name][index]),
            )
            for name in PER_CLASS
            if measured.defined[name][index]
        }
        for index, code in enumerate(CODES)
    }


def _baseline(y_true: Integers) -> dict[str, float]:
    """Score the constant answer of each diagnosis's frequency, which calls everything the commonest."""
    frequency = np.bincount(y_true, minlength=len(CODES)) / len(y_true)
    always = np.tile(frequency, (len(y_true), 1))
    values, defined = score_all(y_true, always), _defined(y_true, always)
    values["ece"] = np.abs(values["gaps"]).sum()
    values |= {name: values[MEANS[name]][over].mean() for name, over in _averaged(defined).items()}
    return {name: float(values[name]) for name in OVERALL if name in values}


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
    levels, rank = curves.confidence_ranks(in_steps(confidence, ~right) if coarse else confidence)
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
        "aurc": curves.aurc_of(sums["sure"], sums["sure_and_wrong"]),
    }
