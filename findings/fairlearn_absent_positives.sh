#!/bin/sh
# fairlearn: a group without a positive counts as one in which all were missed.
#
# guess     The recall of a group without positives is not defined, and the difference between groups leaves the group out.
# versions  fairlearn 0.15.0, scikit-learn 1.9.1, numpy 2.4.6, pandas 3.1.1, Python 3.11
# behaviour The group gets a recall of 0 (from scikit-learn, with a warning that names no group), so that `group_min` is 0 and the difference
#           is the recall of the best group: .8 here, where nobody was missed in the other group because nobody had the disease.
#           Small groups are often like that: patients under 20 have no melanoma in most collections.
#           With `zero_division=nan`, `by_group` says nan and `difference` leaves the group out.
# exit      0 as described; 1 if the group is left out
set -eu
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check fairlearn==0.15.0 scikit-learn==1.9.1 numpy==2.4.6 pandas==3.1.1
cd "$folder"
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import sys
from functools import partial

import numpy as np
from fairlearn.metrics import MetricFrame
from sklearn.metrics import recall_score

y_true = np.repeat([1, 0], [50, 100])
y_pred = y_true.copy()
y_pred[:10] = 0
age = np.array(["60 or more"] * 50 + ["under 20"] * 60 + ["60 or more"] * 40)
found = {}
for name, score in (("default", recall_score), ("zero_division=nan", partial(recall_score, zero_division=np.nan))):
    frame = MetricFrame(metrics=score, y_true=y_true, y_pred=y_pred, sensitive_features=age)
    found[name] = float(frame.difference()), float(frame.group_min())
    print(f"{name}: {frame.by_group.to_dict()}, difference {found[name][0]:.2f}, least {found[name][1]:.2f}")
sys.exit(0 if found["default"] == (0.8, 0.0) and found["zero_division=nan"] == (0.0, 0.8) else 1)
PYTHON
