#!/bin/sh
# pytorch-ood: TemperatureScaling stops a fraction of the way, and ends at a negative temperature where logits are too small.
#
# guess     The fitted temperature has the least loss, as in every package with this method: it is one number of a smooth problem.
# versions  pytorch-ood 0.4.0, torch 2.15.0, numpy 2.4.6, Python 3.11 (CPU)
# behaviour Logits of a calibrated model, times 2, 3 or 5, need the temperature 2, 3 or 5. The package stops at 1.18, 1.24 and 1.27 (it
#           allows 50 steps that it shortens to a hundredth). Times .5, it needs .5, and the package returns -7.3: a negative
#           temperature turns the probabilities around, so that the surest image counts as the greatest outlier.
#           No error, no warning.
# exit      0 as described; 1 if the temperatures come near the least loss
set -eu
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check pytorch-ood==0.4.0 torch==2.15.0 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import sys

import torch
from pytorch_ood.detector import TemperatureScaling
from torch.nn.functional import cross_entropy


def least_loss(logits: torch.Tensor, y: torch.Tensor) -> float:
    """Return the temperature with the least loss, among a thousand from .1 to 10."""
    tried = torch.logspace(-1, 1, 1000)
    return float(tried[torch.stack([cross_entropy(logits / one, y) for one in tried]).argmin()])


chance = torch.Generator().manual_seed(0)
logits = torch.randn(4000, 7, generator=chance) * 2
y = torch.multinomial(logits.softmax(dim=1), 1, generator=chance)[:, 0]
found, best = {}, {}
for factor in (0.5, 2.0, 3.0, 5.0):
    detector = TemperatureScaling(None)
    detector.fit_logits(logits * factor, y)
    found[factor], best[factor] = float(detector.t), least_loss(logits * factor, y)
    print(f"logits times {factor}: pytorch-ood {found[factor]:.3f}; least loss at {best[factor]:.3f}")
short = all(found[factor] < 1 + 0.4 * (best[factor] - 1) for factor in (2.0, 3.0, 5.0))
right = all(abs(best[factor] / factor - 1) < 0.05 for factor in best)
sys.exit(0 if right and short and found[0.5] < 0 else 1)
PYTHON
