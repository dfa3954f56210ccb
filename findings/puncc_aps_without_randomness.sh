#!/bin/sh
# puncc: APS with rand=False covers far more than was asked for, because its sets are built by another rule than its scores.
#
# guess     Without the random number, sets are a little larger, and coverage stays within a hundredth or two of what was
#           asked for, as for any score with few ties.
# versions  puncc 0.9.3, numpy 1.26.4, scikit-learn 1.9.1, Python 3.11
# behaviour Asked for 80 %, a confident and calibrated classifier with seven classes is covered in 99 of 100 cases, with sets of
#           three classes on average. A set by the rule of the scores (sum of probabilities down to a class
#           at most the limit) covers 79 %. The package adds the next class to every set.
# exit      0 as described; 1 if coverage comes within .05 of what was asked for
set -eu
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check puncc==0.9.3 numpy==1.26.4 scikit-learn==1.9.1
cd "$folder"
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import sys

import numpy as np
from deel.puncc.api.prediction import BasePredictor
from deel.puncc.classification import APS

CLASSES, COVERAGE = 7, 0.8


class Given(BasePredictor):
    def predict(self, X, **kwargs):
        return X


rng = np.random.default_rng(0)
logits = rng.normal(0, 3.5, (8000, CLASSES))
prob = np.exp(logits - logits.max(axis=1, keepdims=True))
prob /= prob.sum(axis=1, keepdims=True)
truth = np.array([rng.choice(CLASSES, p=row) for row in prob])
cal, new = slice(0, 4000), slice(4000, 8000)
model = APS(Given(None, is_trained=True), train=False, rand=False)
model.fit(X_calib=prob[cal], y_calib=truth[cal])
found = model.predict(prob[new], alpha=1 - COVERAGE)[1]
covered = float(np.mean([y in one for y, one in zip(truth[new], found, strict=True)]))
size = float(np.mean([len(one) for one in found]))


def scores(p: np.ndarray) -> np.ndarray:
    """Return the sum of the probabilities down to each class, the likeliest first, shape (N, C)."""
    order = np.argsort(-p, axis=1)
    down = np.empty_like(p)
    np.put_along_axis(down, order, np.cumsum(np.take_along_axis(p, order, axis=1), axis=1), axis=1)
    return down


own = np.sort(scores(prob[cal])[np.arange(4000), truth[cal]])
limit = own[int(np.ceil(4001 * COVERAGE)) - 1]
by_score = scores(prob[new]) <= limit
plain = float(by_score[np.arange(4000), truth[new]].mean())
print(f"asked for {COVERAGE}: puncc covers {covered:.3f} with sets of {size:.2f} classes")
print(f"sets by the rule of the scores cover {plain:.3f} with sets of {by_score.sum(axis=1).mean():.2f} classes")
sys.exit(0 if covered > COVERAGE + 0.05 and abs(plain - COVERAGE) < 0.02 else 1)
PYTHON
