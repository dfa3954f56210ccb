"""The same calibration by scikit-learn, netcal and MAPIE: the largest differences on val.

pip install netcal mapie
python -W ignore benchmarks/correctness/calibration_elsewhere.py benchmarks/runs/small-s0 …
"""

import sys
from pathlib import Path

import numpy as np
from mapie.classification import SplitConformalClassifier
from netcal.scaling import TemperatureScaling
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator

from lesionwise.evaluation.calibration.conformal import rank
from lesionwise.evaluation.calibration.record import softmax
from lesionwise.evaluation.calibration.scaling import fit_temperature
from lesionwise.evaluation.predictions import read_predictions
from lesionwise.evaluation.scores.weights import lesion_shares
from lesionwise.labels import INDEX


class Network(ClassifierMixin, BaseEstimator):
    """A fitted classifier whose inputs are its logits."""

    def fit(self, X, y):  # noqa: ANN001, ANN201, N803 (scikit-learn's names)
        self.classes_ = np.unique(y)
        return self

    def decision_function(self, X):  # noqa: ANN001, ANN201, N803
        return X

    def predict_proba(self, X):  # noqa: ANN001, ANN201, N803
        return softmax(X)

    def predict(self, X):  # noqa: ANN001, ANN201, N803
        return X.argmax(axis=1)


def main() -> None:
    for folder in map(Path, sys.argv[1:]):
        cal, val = (read_predictions(folder / f"predictions-{part}.csv") for part in ("cal", "val"))
        network = Network().fit(cal.logits, cal.y_true)
        for name, groups, weights in (
            ("images alike", cal.image_id, None),
            ("lesions alike", cal.group, lesion_shares(cal.group)),
        ):
            theirs = CalibratedClassifierCV(FrozenEstimator(network), method="temperature", ensemble=False)
            theirs.fit(cal.logits, cal.y_true, sample_weight=weights)
            ours = fit_temperature(cal.y_true, cal.logits, groups).probabilities(val.logits)
            print(folder.name, "scikit-learn,", name, np.abs(theirs.predict_proba(val.logits) - ours).max())
        netcal = TemperatureScaling()
        netcal.fit(softmax(cal.logits), cal.y_true)
        ours = fit_temperature(cal.y_true, cal.logits, cal.image_id).probabilities(val.logits)
        print(folder.name, "netcal", np.abs(netcal.transform(softmax(val.logits)) - ours).max())

        nevus = INDEX["nv"]
        first = np.unique(cal.group, return_index=True)[1]
        first = first[cal.y_true[first] == nevus]
        mapie = SplitConformalClassifier(network, confidence_level=0.9, conformity_score="lac", prefit=True)
        mapie.conformalize(cal.logits[first], cal.y_true[first])
        _, sets = mapie.predict_set(val.logits)
        limit = np.sort(1 - softmax(cal.logits[first])[:, nevus])[rank(len(first), 0.9) - 1]
        ours = 1 - softmax(val.logits)[:, nevus] <= limit
        print(folder.name, "MAPIE, sets that differ in nv:", int((sets[:, nevus, 0] != ours).sum()))


if __name__ == "__main__":
    main()
