#!/bin/sh
# calzone: the calibration slope (Cox) of any class is that of class 1.
#
# guess     CalibrationMetrics(class_to_calculate=k) gives all its scores for class k, as a two-column table of "k" and "not k" does.
# versions  calzone-tool 0.1.0, numpy 2.4.6, Python 3.11
# behaviour The slope is the same for classes 1, 3 and 5: that of class 1, .739. The calibration error follows the class. Class 5 is
#           made overconfident in this script: its slope from two columns is .462, and the package says .739 for it.
#           No error, no warning.
# exit      0 as described; 1 if the slope follows the class
set -eu
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check calzone-tool==0.1.0 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import sys

import numpy as np
from calzone.metrics import CalibrationMetrics

rng = np.random.default_rng(0)
own = 1 / (1 + np.exp(-rng.normal(0, 1, 6000)))  # true probability of class 5
rest = rng.dirichlet(np.full(6, 0.7), 6000)
true = np.insert(rest * (1 - own)[:, None], 5, own, axis=1)
y = (true.cumsum(axis=1) > rng.random((6000, 1))).argmax(axis=1)
stated = own**2 / (own**2 + (1 - own) ** 2)  # the log odds of class 5 are doubled: overconfident
prob = np.insert(rest * (1 - stated)[:, None], 5, stated, axis=1)
slope, two = {}, {}
for k in (1, 3, 5):
    one = CalibrationMetrics(class_to_calculate=k).calculate_metrics(y, prob, ["COX", "ECE-H"])
    columns = np.stack([1 - prob[:, k], prob[:, k]], axis=1)
    other = CalibrationMetrics().calculate_metrics((y == k).astype(int), columns, ["COX", "ECE-H"])
    slope[k], two[k] = float(one["COX coef"]), float(other["COX coef"])
    same = abs(one["ECE-H"] - other["ECE-H"]) < 1e-9
    print(f"class {k}: slope {slope[k]:.3f}; from two columns {two[k]:.3f}; the calibration error (ECE-H) agrees: {same}")
stuck = slope[1] == slope[3] == slope[5] and abs(slope[1] - two[1]) < 1e-9
sys.exit(0 if stuck and abs(two[5] - 0.5) < 0.06 and abs(slope[5] - two[5]) > 0.2 else 1)
PYTHON
