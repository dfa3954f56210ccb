#!/bin/sh
# scikit-learn: permutation_test_score with lesions as groups gives p = 1 for every model, however good.
#
# guess     groups=lesion goes to the splitter (GroupKFold needs it); diagnoses are shuffled among images or among lesions. A good model gets
#           the least p, 1/61 with 60 permutations; a useless one gets any p.
# versions  scikit-learn 1.9.1, numpy 2.4.6, Python 3.11
# behaviour Diagnoses are shuffled inside each group only, and all photographs of one lesion have the same diagnosis, so nothing is shuffled.
#           All 60 permuted scores equal the score itself, and p is 1.000, for an AUROC of .93 as for one of .5. No warning.
#           With the same folds given as a list, and no groups, the good model gets p = .016.
# exit      0 as described; 1 if the good model gets a small p
set -eu
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check scikit-learn==1.9.1 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import sys
import warnings

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, permutation_test_score

warnings.simplefilter("error")
rng = np.random.default_rng(0)
lesion = np.repeat(np.arange(200), 2)  # two photographs of each lesion
y = np.repeat(rng.integers(0, 2, 200), 2)
noise = rng.normal(size=(400, 5))
features = {"good": noise + 2 * y[:, None] * np.eye(5)[0], "useless": noise}
folds = list(GroupKFold(5).split(noise, y, lesion))
p = {}
for model, X in features.items():
    for how, options in {
        "groups=lesion": {"groups": lesion, "cv": GroupKFold(5)}, "the same folds as a list": {"cv": folds},
    }.items():
        score, permuted, p[model, how] = permutation_test_score(
            LogisticRegression(), X, y, scoring="roc_auc", n_permutations=60, random_state=0, **options
        )
        print(
            f"{model} model, {how}: AUROC {score:.3f}; permuted {permuted.min():.3f} to {permuted.max():.3f}; "
            f"p = {p[model, how]:.3f}"
        )
same = all(p[model, "groups=lesion"] == 1 for model in features)
sys.exit(0 if same and p["good", "the same folds as a list"] < 0.02 else 1)
PYTHON
