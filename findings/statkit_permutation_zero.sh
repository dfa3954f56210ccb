#!/bin/sh
# statkit: the p-value of a permutation test can be 0, and then says that chance is impossible.
#
# guess     The least p-value of a test with 200 permutations is 1 / 201: the observed labelling is one of them (Phipson and Smyth 2010).
# versions  statkit 1.1.0, scikit-learn 1.9.1, numpy 2.4.6, Python 3.11
# behaviour `paired_permutation_test` returns the share of permutations that are at least as extreme, without the observed one. Two models
#           of clearly different accuracy get p = 0 exactly, with 200 permutations as with 2,000. After a correction for many
#           comparisons it is still 0. scipy's `permutation_test` gives 2 / 201 for the same two-sided question.
# exit      0 as described; 1 if the p-value is above 0
set -eu
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check statkit==1.1.0 scikit-learn==1.9.1 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import sys

import numpy as np
from scipy.stats import permutation_test
from sklearn.metrics import accuracy_score
from statkit.non_parametric import paired_permutation_test

chance = np.random.default_rng(0)
y_true = chance.integers(0, 2, 200)
good, poor = (np.where(chance.random(200) < share, y_true, 1 - y_true) for share in (0.95, 0.6))
found = []
for times in (200, 2000):
    found.append(float(paired_permutation_test(y_true, good, poor, metric=accuracy_score, n_iterations=times, random_state=1)))
    print(f"statkit, {times} permutations: p = {found[-1]}")


def difference(one: np.ndarray, other: np.ndarray, axis: int = -1) -> np.ndarray:
    return one.mean(axis=axis) - other.mean(axis=axis)


right = [(answers == y_true).astype(float) for answers in (good, poor)]
other = permutation_test(right, difference, permutation_type="samples", vectorized=True, n_resamples=200, rng=0).pvalue
print(f"scipy, 200 permutations: p = {other:.4f}")
sys.exit(0 if found == [0.0, 0.0] and other > 0 else 1)
PYTHON
