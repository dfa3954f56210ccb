"""A linear probe: the value of features that were learned elsewhere, without changing them.

Not here: computing and keeping them (`lesionwise.training.features`). Letters: K directions.

References:
    Alain and Bengio (2016), https://arxiv.org/abs/1610.01644
"""

from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from lesionwise.evaluation.scores.decision import macro_recall_score
from lesionwise.split.assign import LesionKFold

Kind = Literal["logistic", "svm"]
AnyFloats = NDArray[np.floating[Any]]

STRENGTHS: Final = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2)
"""Values of C to try, on features of variance one: from hardly any use of 1,280 features to full use."""

_FOLDS: Final = 5
_STEPS: Final = 1000  # far more than either method needs at these strengths
_NEVER: Final = -1e9  # output of a diagnosis that was not learnt
_METADATA_SCALE: Final = 3.0  # metadata are few and meaningful: a ninth of the regularisation of features
_LEAST_SPREAD: Final = 0.3  # of the median; a smaller spread would amplify noise beyond float32


@dataclass(frozen=True)
class Probe:
    """A fitted last layer.

    Attributes:
        weight: Shape (C, D), for features as the network gives them.
        bias: Shape (C,).
        strength: The C that was chosen.
        cv_scores: Balanced accuracy on held-out lesions of `train`, by C.
        metadata_weight: Shape (C, M), for encoded metadata; M is 0 without them.
    """

    weight: AnyFloats
    bias: AnyFloats
    strength: float
    cv_scores: dict[float, float]
    metadata_weight: AnyFloats

    def logits(self, features: AnyFloats, metadata: AnyFloats | None = None) -> AnyFloats:
        """Return the logits (N, C) of features (N, D) and, if known, metadata (N, M)."""
        logits = features @ self.weight.T + self.bias
        return np.asarray(logits if metadata is None else logits + metadata @ self.metadata_weight.T)


@dataclass(frozen=True)
class Metadata:
    """Metadata of training images.

    Attributes:
        numbers: Encoded, shape (N, M); zero is unknown.
        dropout: Part of the images whose metadata count as unknown.
    """

    numbers: AnyFloats
    dropout: float


def main_directions(features: AnyFloats, count: int, *, seed: int = 0) -> tuple[AnyFloats, AnyFloats]:
    """Return middle (D,) and directions (K, D) of features: principal components with a mean variance of one.

    Each feature counts alike, whatever its scale. The directions keep their relative spread, so that a
    regularised layer uses the strong ones more.

    Args:
        features: Features of the training images, shape (N, D).
        count: Number K of directions; those that N images cannot span are zero.

    References:
        Halko, Martinsson, Tropp (2011), https://doi.org/10.1137/090771806
    """
    middle = features.mean(axis=0)
    spread = features.std(axis=0)
    spread = np.maximum(spread, _LEAST_SPREAD * np.median(spread))
    found = PCA(min(count, *features.shape), svd_solver="randomized", random_state=seed).fit(
        (features - middle) / spread
    )
    directions = np.zeros((count, features.shape[1]))
    directions[: len(found.components_)] = found.components_ / spread
    return middle, directions / np.sqrt(found.explained_variance_.mean())


class Fitting(NamedTuple):
    """How to fit a last layer.

    Attributes:
        kind: Multinomial logistic regression, or one support vector machine for each class.
        class_weights: Weight of each class, shape (C,); equal if left out.
        standardise: Scale each feature to variance one first; not for directions, whose spread has a meaning.
    """

    kind: Kind = "logistic"
    class_weights: AnyFloats | None = None
    standardise: bool = True


def fit_probe(
    features: AnyFloats,
    y: NDArray[np.int64],
    groups: NDArray[np.str_],
    *,
    fitting: Fitting = Fitting(),
    metadata: Metadata | None = None,
    seed: int = 0,
) -> Probe:
    """Fit a last layer to features, with the regularisation that is best in cross-validation over lesions.

    Args:
        features: Features of the training images, shape (N, D).
        y: Their classes, shape (N,), each of 0..C-1 at least once.
        metadata: Metadata of the images; their contribution is added to that of the features.
    """
    known = metadata or Metadata(np.zeros((len(y), 0)), 0.0)
    sample_weight = np.ones(len(y)) if fitting.class_weights is None else fitting.class_weights[y]
    given = _Given(features, known, y, sample_weight, fitting.standardise, len(np.unique(y)))
    fold = LesionKFold(_FOLDS, random_state=seed).fold_of(y, groups)
    scores = {strength: _held_out_score(fitting.kind, strength, given, fold) for strength in STRENGTHS}
    best = max(scores, key=lambda strength: scores[strength])
    weight, bias, added = _layer(fitting.kind, best, given)
    return Probe(weight, bias, best, scores, added)


class _Given(NamedTuple):
    """Everything that a layer is fitted to."""

    features: AnyFloats
    metadata: Metadata
    y: NDArray[np.int64]
    sample_weight: AnyFloats
    standardise: bool
    classes: int

    def at(self, rows: NDArray[np.intp]) -> "_Given":
        known = Metadata(self.metadata.numbers[rows], self.metadata.dropout)
        own = self.features[rows], known, self.y[rows], self.sample_weight[rows]
        return _Given(*own, self.standardise, self.classes)


def _held_out_score(kind: Kind, strength: float, given: _Given, fold: NDArray[np.intp]) -> float:
    """Return the balanced accuracy over all held-out images together: a fold may lack a rare class."""
    logits = np.empty((len(given.y), given.classes))
    for number in range(_FOLDS):
        held = np.flatnonzero(fold == number)
        weight, bias, added = _layer(kind, strength, given.at(np.flatnonzero(fold != number)))
        logits[held] = given.features[held] @ weight.T + bias + given.metadata.numbers[held] @ added.T
    return float(macro_recall_score(given.y, logits))


def _layer(kind: Kind, strength: float, given: _Given) -> tuple[AnyFloats, AnyFloats, AnyFloats]:
    """Return weight, bias and the weight of the metadata, for features as they are given.

    Each image occurs twice, with its metadata and without, and the two share its weight according to
    `dropout`: the mean over all random choices.
    """
    numbers, dropout = given.metadata.numbers, given.metadata.dropout
    x = StandardScaler(with_mean=given.standardise, with_std=given.standardise).fit(given.features)
    linear: Any = {
        "logistic": LogisticRegression(C=strength, max_iter=_STEPS),
        "svm": LinearSVC(C=strength, max_iter=_STEPS, dual=False),
    }[kind]
    features, y, sample_weight = x.transform(given.features), given.y, given.sample_weight
    if numbers.shape[1]:
        with_metadata = np.hstack([features, _METADATA_SCALE * numbers])
        without = np.hstack([features, np.zeros_like(numbers)])
        features, y = np.vstack([with_metadata, without]), np.tile(y, 2)
        sample_weight = np.concatenate([(1 - dropout) * sample_weight, dropout * sample_weight])
    linear.fit(features, y, sample_weight=sample_weight)
    factors, offsets = np.zeros((given.classes, features.shape[1])), np.full(given.classes, _NEVER)
    learnt = linear.classes_  # a fold may lack a class
    factors[learnt], offsets[learnt] = linear.coef_, linear.intercept_
    count = given.features.shape[1]
    weight = factors[:, :count] / (x.scale_ if given.standardise else 1.0)
    bias = offsets - (weight @ x.mean_ if given.standardise else 0.0)
    return weight, bias, _METADATA_SCALE * factors[:, count:]
