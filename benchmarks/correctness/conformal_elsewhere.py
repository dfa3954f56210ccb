"""Prediction sets of three packages and of lesionwise from the same probabilities: coverage and size.

    pip install mapie==1.6.0 puncc==0.9.3 crepes==0.9.1
    python -W ignore benchmarks/correctness/conformal_elsewhere.py benchmarks/runs/best-folds

One image of each lesion is used, so that images are exchangeable. Ten times, one random half sets the limits
and the other is covered.
"""

import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from crepes import ConformalClassifier
from crepes.extras import hinge
from deel.puncc.api.prediction import BasePredictor
from deel.puncc.classification import APS, LAC, ClasswiseLAC
from mapie.classification import SplitConformalClassifier
from sklearn.base import BaseEstimator, ClassifierMixin

from lesionwise.evaluation.calibration.conformal import fit_prediction_sets
from lesionwise.evaluation.predictions import read_predictions
from lesionwise.labels import CODES, INDEX

Array = np.ndarray
Method = Callable[[Array, Array, Array, float, int], Array]
"""Probabilities and truth that set the limits, other probabilities, coverage, seed; returns sets (N, C)."""
DRAWS = 10
RARE = INDEX["df"]


class Stated(ClassifierMixin, BaseEstimator):
    """A fitted classifier whose inputs are its probabilities."""

    def fit(self, X, y):  # noqa: ANN001, ANN201, N803 (scikit-learn's names)
        self.classes_ = np.arange(len(CODES))
        return self

    def predict_proba(self, X):  # noqa: ANN001, ANN201, N803
        return X

    def predict(self, X):  # noqa: ANN001, ANN201, N803
        return X.argmax(axis=1)


class Given(BasePredictor):
    """The same for puncc."""

    def predict(self, X, **kwargs):  # noqa: ANN001, ANN003, ANN201, N803
        return X


def ours(rule: str) -> Method:
    def sets(cal: Array, y: Array, new: Array, coverage: float, seed: int) -> Array:  # noqa: ARG001
        return fit_prediction_sets(y, cal, np.arange(len(y)), coverage=coverage, rule=rule).contains(new)

    return sets


def mapie(score: str) -> Method:
    def sets(cal: Array, y: Array, new: Array, coverage: float, seed: int) -> Array:
        model = SplitConformalClassifier(
            Stated().fit(cal, y),
            confidence_level=coverage,
            conformity_score=score,
            prefit=True,
            random_state=seed,
        )
        model.conformalize(cal, y)
        return model.predict_set(new)[1][:, :, 0]

    return sets


def puncc(make: Callable[[BasePredictor], Any]) -> Method:
    def sets(cal: Array, y: Array, new: Array, coverage: float, seed: int) -> Array:
        np.random.seed(seed)  # noqa: NPY002 (puncc draws from it)
        model = make(Given(None, is_trained=True))
        model.fit(X_calib=cal, y_calib=y)
        found = model.predict(new, alpha=1 - coverage)[1]
        return np.array([[place in one for place in range(len(CODES))] for one in found])

    return sets


def crepes(*, by_class: bool, smoothing: bool) -> Method:
    def sets(cal: Array, y: Array, new: Array, coverage: float, seed: int) -> Array:
        model, classes = ConformalClassifier(), np.arange(len(CODES))
        scores = hinge(cal, classes, y)
        if not by_class:
            model.fit(scores, seed=seed)
            return model.predict_set(hinge(new), confidence=coverage, smoothing=smoothing, seed=seed) > 0
        model.fit(scores, bins=y, seed=seed)
        columns = [
            model.predict_set(
                hinge(new)[:, [place]],
                bins=np.full(len(new), place),
                confidence=coverage,
                smoothing=smoothing,
                seed=seed,
            )
            for place in classes
        ]
        return np.concatenate(columns, axis=1) > 0

    return sets


METHODS: dict[str, Method] = {
    "lesionwise, lac": ours("lac"),
    "lesionwise, aps": ours("aps"),
    "MAPIE, lac": mapie("lac"),
    "MAPIE, aps": mapie("aps"),
    "puncc, LAC": puncc(lambda given: LAC(given, train=False)),
    "puncc, ClasswiseLAC": puncc(lambda given: ClasswiseLAC(given, train=False)),
    "puncc, APS": puncc(lambda given: APS(given, train=False)),
    "puncc, APS, rand=False": puncc(lambda given: APS(given, train=False, rand=False)),
    "crepes, hinge": crepes(by_class=False, smoothing=True),
    "crepes, hinge, smoothing=False": crepes(by_class=False, smoothing=False),
    "crepes, hinge, bins by class": crepes(by_class=True, smoothing=True),
    "crepes, hinge, bins by class, smoothing=False": crepes(by_class=True, smoothing=False),
}


def halves(prob: Array, y: Array) -> Iterator[tuple[Array, Array, Array, Array, int]]:
    for seed in range(DRAWS):
        order = np.random.default_rng(seed).permutation(len(y))
        first, second = order[: len(y) // 2], order[len(y) // 2 :]
        yield prob[first], y[first], prob[second], y[second], seed


def main() -> None:
    predictions = read_predictions(Path(sys.argv[1]) / "predictions-out-of-fold.csv")
    rows = np.unique(predictions.group, return_index=True)[1]
    prob, y = predictions.y_prob[rows], predictions.y_true[rows]
    for coverage in (0.8, 0.9):
        found: dict[str, list[tuple[float, ...]]] = defaultdict(list)
        for cal, cal_y, new, new_y, seed in halves(prob, y):
            for name, method in METHODS.items():
                sets = np.asarray(method(cal, cal_y, new, coverage, seed), bool)
                inside = sets[np.arange(len(new_y)), new_y]
                size = sets.sum(axis=1)
                found[name].append(
                    (inside.mean(), inside[new_y == RARE].mean(), size.mean(), (size == 0).mean())
                )
        print(
            f"\n| sets at {coverage:.0%} | covered | df covered | mean size | empty |\n|---|---|---|---|---|"
        )
        for name, values in found.items():
            covered, rare, size, empty = np.mean(values, axis=0)
            print(f"| {name} | {covered:.3f} | {rare:.3f} | {size:.2f} | {empty:.3f} |")
    print(f"\n{len(y)} lesions, half of them set the limits; {DRAWS} draws.")


if __name__ == "__main__":
    main()
