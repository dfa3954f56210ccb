#!/bin/sh
# torchmetrics: FleissKappa of readers who always agree is .56 if lesions have three to five readers.
#
# guess     Readers who agree on every lesion have a kappa of 1, however many there are; or unequal numbers are refused, as statsmodels does.
# versions  torchmetrics 1.9.0, torch 2.13.0, krippendorff 0.9.0, numpy 2.4.6, Python 3.11 (CPU)
# behaviour The largest number of readers is taken for all lesions. 300 lesions with three to five readers, all of one mind: kappa is .555 by
#           torchmetrics, and Krippendorff's alpha is 1. With five readers each, both are 1. No error, no warning.
# exit      0 as described; 1 if the readers are counted for each lesion, or refused
set -eu
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
    torchmetrics==1.9.0 torch==2.13.0 krippendorff==0.9.0 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" -W error::UserWarning - <<'PYTHON'
import sys

import krippendorff
import numpy as np
import torch
from torchmetrics.nominal import FleissKappa

rng = np.random.default_rng(0)
diagnosis, lesions = rng.integers(0, 7, 300), np.arange(300)
kappa, alpha = {}, {}
for name, readers in (("five readers", np.full(300, 5)), ("three to five readers", rng.integers(3, 6, 300))):
    counts = np.zeros((300, 7), dtype=int)
    counts[lesions, diagnosis] = readers
    kappa[name] = float(FleissKappa(mode="counts")(torch.tensor(counts)))
    alpha[name] = float(krippendorff.alpha(value_counts=counts, level_of_measurement="nominal"))
    print(f"{name} who agree on every lesion: Fleiss' kappa {kappa[name]:.3f}, Krippendorff's alpha {alpha[name]:.3f}")
right = [kappa["five readers"], *alpha.values()]
sys.exit(0 if all(abs(one - 1) < 1e-4 for one in right) and kappa["three to five readers"] < 0.6 else 1)
PYTHON
