"""Rejection: how unlike the lesion images that a model was trained on a picture is (out of distribution).

Here: learning the score that bundles carry, and its cut-off, from embeddings, also from those that training
left in a run. The more foreign the picture, the higher the score. Not here: the pictures (`data.foreign`) and
their embeddings (`training.rejection`). Letters: K numbers of an embedding.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.linear_model import LogisticRegression

from lesionwise.arrays import Floats, Integers
from lesionwise.errors import DataError, RunError
from lesionwise.evaluation.runs.ensemble import made_of
from lesionwise.evaluation.runs.predictions import read_run_predictions
from lesionwise.labels import CODES
from lesionwise.run_folder import RunFolder

ACCEPT: Final = 0.99
"""Part of the lesion images in `cal` that the cut-off lets pass."""
ACCEPT_EACH: Final = 0.95
"""The same of each diagnosis alone; a diagnosis of few images needs it, because the others outnumber it."""
ACCEPT_CHANGED: Final = 0.975
"""The same of images as other cameras have them, which nothing was learnt from."""
_C: Final = 0.001
"""Strong regularisation: with three times the value, more is rejected, also of other cameras' images."""
SEEN: Final = ("train", "train-changed", "outsiders", "cal", "cal-changed")
"""Pictures whose embeddings a run keeps: of the split, the same from other cameras, and of no lesion.

Foreign pictures are called "outsiders" in the names of these files, so that older runs can be read.
"""
_MOST_STEPS: Final = 2_000
_FOLDS: Final = 5
_LEAST_SCALE: Final = 1e-6


@dataclass(frozen=True)
class Accepted:
    """How many images of a diagnosis are accepted as lesion images.

    Attributes:
        part: Part of them that passes a cut-off that was set without them.
    """

    images: int
    part: float


@dataclass(frozen=True)
class Rejection:
    """When a picture is rejected: a weighted sum of its embedding reaches the cut-off.

    Attributes:
        middle: Taken off the embedding first, so that the sum loses few digits, shape (K,).
        cutoff: Score from which a picture is rejected.
        accepted: Accepted part of each diagnosis, by code; empty where the diagnoses in `cal` are unknown.
    """

    middle: Floats
    direction: Floats
    offset: float
    cutoff: float
    accepted: Mapping[str, Accepted]

    def score(self, embedding: ArrayLike) -> Floats:
        """Return how foreign pictures with these embeddings (N, K) are, shape (N,)."""
        return np.asarray((np.asarray(embedding, float) - self.middle) @ self.direction + self.offset)


def fit_rejection(
    lesions: ArrayLike,
    foreign: ArrayLike,
    *,
    cal: ArrayLike,
    cal_changed: ArrayLike | None = None,
    cal_classes: ArrayLike | None = None,
    cal_groups: ArrayLike | None = None,
) -> Rejection:
    """Learn what tells lesion images from other pictures: a logistic regression on the embedding.

    The score is 0 at the median of `cal`, and 1 is what one lesion image in a hundred exceeds.

    Args:
        lesions: Embeddings of lesion images, as they are and as other cameras have them, shape (N, K).
        cal_changed: Embeddings of the same images as other cameras have them; left out, they set no cut-off.
        cal_classes: Diagnosis of each, as its place in `CODES`; left out, no diagnosis has a promise.
        cal_groups: Lesion group of each; left out, every image is a lesion of its own.

    References:
        Hendrycks, Mazeika, Dietterich (2019), https://arxiv.org/abs/1812.04606 (learning from outliers)
    """
    inside, outside, held = (np.asarray(values, float) for values in (lesions, foreign, cal))
    if not len(held):
        raise DataError("Expected lesion images in cal to set the cut-off of the rejection, but found none.")
    middle, spread = inside.mean(axis=0), np.maximum(inside.std(axis=0), _LEAST_SCALE)
    model = LogisticRegression(C=_C, class_weight="balanced", max_iter=_MOST_STEPS)
    model.fit(
        (np.concatenate([inside, outside]) - middle) / spread,
        np.arange(len(inside) + len(outside)) >= len(inside),
    )
    direction = model.coef_[0] / spread
    held = held - middle
    typical, rare = np.quantile(held @ direction, (0.5, ACCEPT))
    unit = max(float(rare - typical), _LEAST_SCALE)
    direction, offset = direction / unit, -float(typical) / unit
    score = held @ direction + offset
    classes = None if cal_classes is None else np.asarray(cal_classes)
    groups = None if cal_groups is None else np.asarray(cal_groups)
    changed = None if cal_changed is None else (np.asarray(cal_changed, float) - middle) @ direction + offset
    lengths = {len(values) for values in (score, classes, changed, groups) if values is not None}
    if len(lengths) > 1:
        raise ValueError(f"Expected arrays of one length for cal but got {sorted(lengths)}")
    accepted = {} if classes is None else accepted_out_of_fold(score, classes, changed, groups)
    return Rejection(middle, direction, offset, rejecting_cutoff(score, classes, changed), accepted)


def rejecting_cutoff(
    score: ArrayLike, classes: ArrayLike | None = None, changed: ArrayLike | None = None
) -> float:
    """Return the least cut-off that keeps all promises.

    `ACCEPT` of all lesion images pass, `ACCEPT_EACH` of each diagnosis, and `ACCEPT_CHANGED` of the images as
    other cameras have them.

    Args:
        classes: Diagnosis of each, shape (N,); left out, all are looked at together.
        changed: Scores of lesion images as other cameras have them, if there are any.
    """
    values = np.asarray(score, float)
    cutoffs = [accepting_cutoff(values)]
    if classes is not None:
        kinds = np.asarray(classes)
        cutoffs += [accepting_cutoff(values[kinds == kind], ACCEPT_EACH) for kind in np.unique(kinds)]
    if changed is not None:
        cutoffs.append(accepting_cutoff(changed, ACCEPT_CHANGED))
    return max(cutoffs)


def accepted_out_of_fold(
    score: ArrayLike, classes: ArrayLike, changed: ArrayLike | None = None, groups: ArrayLike | None = None
) -> dict[str, Accepted]:
    """Return what part of each diagnosis passes a cut-off that other lesions set, by diagnosis code.

    Args:
        classes: Diagnosis of each, as its place in `CODES`, shape (N,).
        changed: Score of each as another camera has it, shape (N,), if there are any.
        groups: Lesion group of each, shape (N,); left out, every image is a lesion of its own.
    """
    values, kinds = np.asarray(score, float), np.asarray(classes)
    others = None if changed is None else np.asarray(changed, float)
    fold = _folds(kinds, np.arange(len(kinds)) if groups is None else np.asarray(groups))
    passed = np.empty(len(kinds), bool)
    for number in range(_FOLDS):
        held = fold == number
        if held.all():
            passed[held] = True
        elif held.any():
            rest = None if others is None else others[~held]
            passed[held] = values[held] < rejecting_cutoff(values[~held], kinds[~held], rest)
    return {
        CODES[kind]: Accepted(int((kinds == kind).sum()), float(passed[kinds == kind].mean()))
        for kind in np.unique(kinds)
    }


def _folds(kinds: Integers, groups: NDArray[np.generic]) -> Integers:
    """Return a fold for each image: one for all images of a lesion, and each diagnosis in every fold."""
    _, first, lesion = np.unique(groups, return_index=True, return_inverse=True)
    fold = np.empty(len(first), np.int64)
    fold[np.argsort(kinds[first], kind="stable")] = np.arange(len(first)) % _FOLDS
    return np.asarray(fold[lesion])


def accepting_cutoff(score: ArrayLike, accept: float = ACCEPT) -> float:
    """Return the least cut-off below which a new lesion image stays with this probability.

    With too few images nothing can be promised; the cut-off then lies above all of them.

    References:
        Vovk, Gammerman, Shafer (2005), Algorithmic Learning in a Random World (the rank n + 1).
    """
    ordered = np.sort(np.asarray(score, float))
    rank = min(int(np.ceil((len(ordered) + 1) * accept)), len(ordered))
    return float(np.nextafter(np.float32(ordered[rank - 1]), np.float32(np.inf)))


def has_numbers(run: RunFolder) -> bool:
    """Return whether a run holds what `fit_members` reads."""
    return all(run.embeddings(kind).is_file() for kind in SEEN)


def run_rejection(run: RunFolder) -> Rejection | None:
    """Return the rejection of a run or an ensemble; None if its folder lacks the numbers to learn it from."""
    members = made_of(run)
    return fit_members(members) if all(map(has_numbers, members)) else None


def fit_members(runs: Sequence[RunFolder]) -> Rejection:
    """Return the joint rejection of some runs, learnt from their concatenated embeddings."""
    try:
        train, changed, foreign, cal, cal_changed = (
            np.concatenate([np.load(run.embeddings(kind), allow_pickle=False) for run in runs], axis=1)
            for kind in SEEN
        )
        answered = runs[0].predictions("cal").is_file()
        known = read_run_predictions(runs[0], "cal").sorted() if answered else None
        return fit_rejection(
            np.concatenate([train, changed]),
            foreign,
            cal=cal,
            cal_changed=cal_changed,
            cal_classes=known.y_true if known else None,
            cal_groups=known.group if known else None,
        )
    except (OSError, ValueError) as error:
        raise RunError(
            f"{runs[0].path}: the embeddings of {', '.join(SEEN)} cannot be read: {error}. Delete the files "
            "embeddings-*.npy; the export makes them again."
        ) from error
