"""A linear probe: the value of features that were learned elsewhere, without changing them.

Not here: computing and keeping them (`lesionwise.training.features`). Letters: K directions.

References:
    Alain and Bengio (2016), https://arxiv.org/abs/1610.01644
"""

from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from lesionwise.arrays import Booleans, Integers
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
        metadata_weight: Shape (C, M), for encoded metadata; M is 0 without them.
        strength: The C that was chosen.
        cv_scores: Balanced accuracy on held-out lesions of `train`, by C.
    """

    weight: AnyFloats
    bias: AnyFloats
    metadata_weight: AnyFloats
    strength: float
    cv_scores: dict[float, float] = field(default_factory=dict)

    def logits(self, features: AnyFloats, metadata: AnyFloats | None = None) -> AnyFloats:
        """Return the logits (N, C) of features (N, D) and, if known, metadata (N, M)."""
        logits = features @ self.weight.T + self.bias
        return np.asarray(logits if metadata is None else logits + metadata @ self.metadata_weight.T)


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
        metadata_dropout: Part of the images whose metadata count as unknown.
    """

    kind: Kind = "logistic"
    class_weights: AnyFloats | None = None
    standardise: bool = True
    metadata_dropout: float = 0.0


def fit_probe(
    features: AnyFloats,
    y: Integers,
    groups: NDArray[np.str_],
    *,
    fitting: Fitting = Fitting(),
    metadata: AnyFloats | None = None,
    seed: int = 0,
) -> Probe:
    """Fit a last layer to features, with the regularisation that is best in cross-validation over lesions.

    Args:
        features: Features of the training images, shape (N, D).
        y: Their classes, shape (N,), each of 0..C-1 at least once.
        metadata: Encoded metadata of the images, shape (N, M), in which zero is unknown; their contribution
            is added to that of the features.
    """
    known = np.zeros((len(y), 0)) if metadata is None else metadata
    weights = np.ones(len(y)) if fitting.class_weights is None else fitting.class_weights[y]
    classes = len(np.unique(y))

    def fit(strength: float, rows: Booleans | slice) -> Probe:
        return _fit(fitting, strength, features[rows], known[rows], y[rows], weights[rows], classes)

    fold = LesionKFold(_FOLDS, random_state=seed).fold_of(y, groups)
    scores = {}
    for strength in STRENGTHS:
        logits = np.empty((len(y), classes))
        for held in (fold == number for number in range(_FOLDS)):
            logits[held] = fit(strength, ~held).logits(features[held], known[held])
        scores[strength] = float(macro_recall_score(y, logits))  # of all images: a fold may lack a class
    best = max(scores, key=lambda strength: scores[strength])
    return replace(fit(best, slice(None)), cv_scores=scores)


def _fit(
    fitting: Fitting,
    strength: float,
    features: AnyFloats,
    known: AnyFloats,
    y: Integers,
    weights: AnyFloats,
    classes: int,
) -> Probe:
    """Return the layer for features as they are given.

    Each image occurs twice, with its metadata and without, and the two share its weight according to
    `metadata_dropout`: the mean over all random choices.
    """
    count, dropout = features.shape[1], fitting.metadata_dropout
    scaler = StandardScaler(with_mean=fitting.standardise, with_std=fitting.standardise).fit(features)
    linear: Any = {
        "logistic": LogisticRegression(C=strength, max_iter=_STEPS),
        "svm": LinearSVC(C=strength, max_iter=_STEPS, dual=False),
    }[fitting.kind]
    x = scaler.transform(features)
    if known.shape[1]:
        with_metadata = np.hstack([x, _METADATA_SCALE * known])
        without = np.hstack([x, np.zeros_like(known)])
        x, y = np.vstack([with_metadata, without]), np.tile(y, 2)
        weights = np.concatenate([(1 - dropout) * weights, dropout * weights])
    linear.fit(x, y, sample_weight=weights)
    factors, offsets = np.zeros((classes, x.shape[1])), np.full(classes, _NEVER)
    factors[linear.classes_], offsets[linear.classes_] = linear.coef_, linear.intercept_
    weight = factors[:, :count] / (scaler.scale_ if fitting.standardise else 1.0)
    bias = offsets - (weight @ scaler.mean_ if fitting.standardise else 0.0)
    return Probe(weight, bias, _METADATA_SCALE * factors[:, count:], strength)
