#!/bin/sh
# torchmetrics: the spread from BootStrapper(sampling_strategy="multinomial") shrinks four times if the images come in order.
#
# guess     A bootstrap draws from all images. Its spread is that of the score, in whatever order the images come.
# versions  torchmetrics 1.9.0, torch 2.15.0, numpy 2.4.6, Python 3.11 (CPU)
# behaviour 1,000 images, 80 % of them right, in batches of 50: the standard deviation of the accuracy is .012 in a random order and .003
#           if right and wrong images are apart, as they nearly are in a table that is sorted by diagnosis. Each batch is drawn
#           from itself, so only what varies inside a batch counts. In one call for all images the order plays no role.
# exit      0 as described; 1 if the order plays no role
set -eu
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check torchmetrics==1.9.0 torch==2.15.0 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import sys

import torch
from torchmetrics.classification import BinaryAccuracy
from torchmetrics.wrappers import BootStrapper

torch.manual_seed(0)
y = torch.randint(0, 2, (1000,))
right = torch.rand(1000) < 0.8
answer = torch.where(right, y, 1 - y)
expected = float((right.float().var() / 1000).sqrt())
spread = {}
for order, places in (("random order", torch.arange(1000)), ("right ones last", right.int().argsort())):
    for size in (1000, 50):
        torch.manual_seed(1)
        score = BootStrapper(BinaryAccuracy(), num_bootstraps=100, sampling_strategy="multinomial")
        for found, true in zip(answer[places].split(size), y[places].split(size), strict=True):
            score.update(found, true)
        spread[order, size] = float(score.compute()["std"])
        print(f"{order}, batches of {size}: standard deviation {spread[order, size]:.4f}; by the formula {expected:.4f}")
narrow = spread.pop(("right ones last", 50))
sys.exit(0 if narrow < 0.35 * expected and all(value > 0.7 * expected for value in spread.values()) else 1)
PYTHON
