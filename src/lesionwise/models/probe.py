"""A linear probe: how far features that were learned elsewhere carry, without changing them.

Here: fitting the last layer to features, its strength of regularisation chosen within `train` by lesion. Not
here: computing and keeping the features (`lesionwise.training.probe`).
Letters: N images, D features, C classes.

References:
    Alain and Bengio (2016), https://arxiv.org/abs/1610.01644
"""

from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from lesionwise.evaluation.scores import macro_recall_score
from lesionwise.split.assign import LesionKFold

Kind = Literal["logistic", "svm"]
Floats = NDArray[np.floating[Any]]

STRENGTHS: Final = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2)
"""Values of C that are tried, on features of variance one: from 1,280 of them hardly used to fully used."""

_FOLDS: Final = 5
_STEPS: Final = 1000  # far more than either needs at these strengths


@dataclass(frozen=True)
class Probe:
    """A fitted last layer.

    Attributes:
        weight: Shape (C, D), for features as the network gives them.
        bias: Shape (C,).
        strength: The C that was chosen.
        cv_scores: Balanced accuracy on held-out lesions of `train` by C.
    """

    weight: Floats
    bias: Floats
    strength: float
    cv_scores: dict[float, float]


def fit_probe(
    features: Floats,
    y: NDArray[np.int64],
    groups: NDArray[np.str_],
    *,
    kind: Kind = "logistic",
    weights: Floats | None = None,
    seed: int = 0,
) -> Probe:
    """Fit a last layer to features, choosing its regularisation by cross-validation over lesions.

    Args:
        features: Of the training images, shape (N, D).
        y: Their classes, shape (N,), each of 0..C-1 at least once.
        groups: Their lesions, shape (N,).
        kind: Multinomial logistic regression, or one support vector machine for each class.
        weights: Of each class, shape (C,); all alike if left out.
        seed: Of the folds.
    """
    sample_weight = None if weights is None else weights[y]
    fold = LesionKFold(_FOLDS, random_state=seed).fold_of(y, groups)
    scores = {
        strength: _held_out_score(_model(kind, strength), features, y, fold, sample_weight)
        for strength in STRENGTHS
    }
    best = max(scores, key=lambda strength: scores[strength])
    return Probe(*_as_layer(_fitted(_model(kind, best), features, y, sample_weight)), best, scores)


def _model(kind: Kind, strength: float) -> Pipeline:
    linear = {
        "logistic": LogisticRegression(C=strength, max_iter=_STEPS),
        "svm": LinearSVC(C=strength, max_iter=_STEPS, dual=False),
    }
    return make_pipeline(StandardScaler(), linear[kind])


def _fitted(
    model: Pipeline, features: Floats, y: NDArray[np.int64], sample_weight: Floats | None
) -> Pipeline:
    name = model.steps[-1][0]
    return model.fit(features, y, **{f"{name}__sample_weight": sample_weight})


def _held_out_score(
    model: Pipeline,
    features: Floats,
    y: NDArray[np.int64],
    fold: NDArray[np.intp],
    sample_weight: Floats | None,
) -> float:
    """Return the balanced accuracy over all held-out images as one set: a fold may lack a rare class."""
    said = np.empty((len(y), len(np.unique(y))))
    for number in range(_FOLDS):
        inner, held = np.flatnonzero(fold != number), np.flatnonzero(fold == number)
        weights = None if sample_weight is None else sample_weight[inner]
        said[held] = _fitted(model, features[inner], y[inner], weights).decision_function(features[held])
    return float(macro_recall_score(y, said))


def _as_layer(model: Pipeline) -> tuple[Floats, Floats]:
    """Return weight and bias for features that are not standardised."""
    scaler, linear = model.steps[0][1], model.steps[-1][1]
    weight = linear.coef_ / scaler.scale_
    return weight, linear.intercept_ - weight @ scaler.mean_
