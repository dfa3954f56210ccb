#!/bin/sh
# torchmetrics: the AUROC of logits depends on the size of the batches.
#
# guess     Ranking scores depend on the order of the values alone, so logits and probabilities have the same AUROC, one image at a time too.
# versions  torchmetrics 1.9.0, torch 2.15.0, numpy 2.4.6, Python 3.11 (CPU)
# behaviour Each call decides for itself whether its values are logits: if all of them happen to lie in [0, 1] they stay, otherwise they
#           go through the sigmoid. With one image in a call, a logit of .9 stays .9 and a logit of 1.1 becomes .75. The AUROC falls from
#           .827 to .799 and the average precision from .576 to .527. Large batches, and probabilities, are not
#           affected; a last batch of one or two images is. No error, no warning.
# exit      0 as described; 1 if the batches play no role
set -eu
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check torchmetrics==1.9.0 torch==2.15.0 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import sys

import torch
from torchmetrics.classification import BinaryAUROC, BinaryAveragePrecision

chance = torch.Generator().manual_seed(0)
y = (torch.rand(2000, generator=chance) < 0.2).int()
logits = torch.randn(2000, generator=chance) * 1.2 + y * 1.5 - 0.5
found = {}
for name, values in (("logits", logits), ("probabilities", logits.sigmoid())):
    for size in (2000, 2, 1):
        scores = BinaryAUROC(), BinaryAveragePrecision()
        for value, true in zip(values.split(size), y.split(size), strict=True):
            for score in scores:
                score.update(value, true)
        found[name, size] = [float(score.compute()) for score in scores]
        print(f"{name}, {size} in a call: AUROC {found[name, size][0]:.4f}, average precision {found[name, size][1]:.4f}")
whole = found["logits", 2000]
steady = all(found["probabilities", size] == whole for size in (2000, 2, 1))
lower = all(one < all_in_one - 0.02 for one, all_in_one in zip(found["logits", 1], whole, strict=True))
sys.exit(0 if steady and lower else 1)
PYTHON
