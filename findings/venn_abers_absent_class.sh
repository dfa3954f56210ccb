#!/bin/sh
# venn-abers: a class without calibration images loses its column, and the classes after it move one place to the left.
#
# guess     Seven columns go in, so seven come out; the class that calibration never saw keeps its probability or gets zero.
# versions  venn-abers 1.5.4, scikit-learn 1.9.1, numpy 2.4.6, pandas 3.1.1, Python 3.11
# behaviour The result has six columns that sum to 1. argmax over them names the wrong diagnosis for all classes behind the absent one:
#           accuracy falls from .71 to .25 although most probabilities are right. No error, no warning.
#           A rare diagnosis (HAM10000 has 115 images of dermatofibroma) is easily absent from a small calibration set.
# exit      0 as described; 1 if the result keeps its columns
set -eu
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
    venn-abers==1.5.4 scikit-learn==1.9.1 numpy==2.4.6 pandas==3.1.1
cd "$folder"
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import sys

import numpy as np
from venn_abers import VennAbersCalibrator

ABSENT = 3
rng = np.random.default_rng(0)
share = np.array([327, 514, 1099, 115, 1113, 6705, 142]) / 10015
logits = rng.normal(0, 2.5, (3000, 7)) + np.log(share)
prob = np.exp(logits - logits.max(axis=1, keepdims=True))
prob /= prob.sum(axis=1, keepdims=True)
y = (prob.cumsum(axis=1) > rng.random((3000, 1))).argmax(axis=1)
cal = np.flatnonzero((np.arange(3000) < 1500) & (y != ABSENT))
new = np.arange(1500, 3000)
found = np.asarray(VennAbersCalibrator().predict_proba(p_cal=prob[cal], y_cal=y[cal], p_test=prob[new]))
before = float((prob[new].argmax(axis=1) == y[new]).mean())
as_given = float((found.argmax(axis=1) == y[new]).mean())
shifted = float((np.delete(np.arange(7), ABSENT)[found.argmax(axis=1)] == y[new]).mean())
sums = bool(np.allclose(found.sum(axis=1), 1))
print(f"columns: 7 went in, {found.shape[1]} came out; rows sum to 1: {sums}")
print(f"accuracy: {before:.3f} before; {as_given:.3f} by argmax of the result; {shifted:.3f} once its columns are named")
sys.exit(0 if found.shape[1] == 6 and sums and as_given < before - 0.3 and shifted > before - 0.1 else 1)
PYTHON
