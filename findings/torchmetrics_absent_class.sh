#!/bin/sh
# torchmetrics: a class without samples counts as 0 in the macro AUROC and is left out of the macro average precision.
#
# guess     Both ranking scores treat a class that has no sample alike: left out, with a warning.
# versions  torchmetrics 1.9.0, torch 2.15.0, numpy 2.4.6, scikit-learn 1.9.1, Python 3.11 (CPU)
# behaviour With one of four classes absent, the macro AUROC is three quarters of the mean over the present ones; the macro
#           average precision is their mean. Both warn, but the first warning does not say that the mean is pulled down.
# exit      0 as described; 1 if both are treated alike
set -eu
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check torchmetrics==1.9.0 torch==2.15.0 numpy==2.4.6 scikit-learn==1.9.1
cd "$folder"
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import sys

import numpy as np
import torch
from sklearn.metrics import average_precision_score, roc_auc_score
from torchmetrics.functional.classification import multiclass_auroc, multiclass_average_precision

rng = np.random.default_rng(0)
y = rng.integers(0, 3, 300)
logits = rng.normal(0, 1, (300, 4))
logits[np.arange(300), y] += 1.5
prob = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
auc = float(np.mean([roc_auc_score(y == k, prob[:, k]) for k in range(3)]))
precision = float(np.mean([average_precision_score(y == k, prob[:, k]) for k in range(3)]))
p, t = torch.tensor(prob), torch.tensor(y)
found_auc = float(multiclass_auroc(p, t, num_classes=4, average="macro"))
found_precision = float(multiclass_average_precision(p, t, num_classes=4, average="macro"))
print(f"macro AUROC: {found_auc:.4f}; mean over the three classes with samples {auc:.4f}, with a zero for the fourth {0.75 * auc:.4f}")
print(f"macro average precision: {found_precision:.4f}; mean over the three classes with samples {precision:.4f}")
sys.exit(0 if abs(found_auc - 0.75 * auc) < 1e-4 and abs(found_precision - precision) < 1e-4 else 1)
PYTHON
