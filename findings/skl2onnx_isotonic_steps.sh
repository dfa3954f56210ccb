#!/bin/sh
# skl2onnx: an isotonic calibrator is exported as steps; scikit-learn draws lines between the same points.
#
# guess     The graph gives scikit-learn's probabilities to about seven digits, as it does for method="sigmoid".
# versions  skl2onnx 1.20.0, onnxruntime 1.32.0, onnx 1.23.2, scikit-learn 1.9.1, numpy 2.4.6, Python 3.11
# behaviour The graph gives the value at the nearest point of the fitted curve. With 100 images for calibration the probability is off by up
#           to .16 and takes 7 values instead of 375, and 26 of 5,000 answers change sides at .5. No error, no warning.
# exit      0 as described; 1 if the probabilities agree
set -eu
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
    skl2onnx==1.20.0 onnxruntime==1.32.0 onnx==1.23.2 scikit-learn==1.9.1 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import sys
import warnings

import numpy as np
import onnxruntime
from skl2onnx import to_onnx
from sklearn.calibration import CalibratedClassifierCV
from sklearn.linear_model import LogisticRegression

warnings.simplefilter("error")
rng = np.random.default_rng(0)
X = rng.normal(size=(5100, 5)).astype(np.float32)
y = (rng.random(5100) < 1 / (1 + np.exp(1.5 - X @ np.array([1.5, 1, 0, 0, 0])))).astype(int)
fit, new = slice(0, 100), slice(100, None)
off = {}
for method in ("sigmoid", "isotonic"):
    model = CalibratedClassifierCV(LogisticRegression(), method=method, cv=5, ensemble=False).fit(X[fit], y[fit])
    own = model.predict_proba(X[new])[:, 1]
    graph = to_onnx(model, X[:1], options={"zipmap": False}).SerializeToString()
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    found = session.run(None, {session.get_inputs()[0].name: X[new]})[1][:, 1]
    off[method] = float(np.abs(found - own).max())
    print(
        f"{method}: off by up to {off[method]:.2g}; {len(np.unique(own))} values in scikit-learn, "
        f"{len(np.unique(found))} in the graph; {((own > 0.5) != (found > 0.5)).sum()} of 5,000 change sides at .5"
    )
one = model.calibrated_classifiers_[0]
curve, values = one.calibrators[0], one.estimator.decision_function(X[new])
nearest = curve.y_thresholds_[np.abs(curve.X_thresholds_[None] - values[:, None]).argmin(axis=1)]
as_steps = float(np.abs(nearest - found).max())
print(f"the graph and the nearest point of the curve: off by up to {as_steps:.2g}")
sys.exit(0 if off["sigmoid"] < 1e-5 and off["isotonic"] > 0.1 and as_steps < 1e-5 else 1)
PYTHON
