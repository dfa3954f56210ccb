#!/bin/sh
# PyTorch: cross_entropy with class weights and label smoothing teaches that a certain nevus is only 30 % nevus.
#
# guess     The weight of a class multiplies the loss of its images, and smoothing spreads a tenth of the target evenly. The answer with the
#           least loss for an image that is surely a nevus is then 1 - .1 + .1/7 = .914 nevus, whatever the weights.
# versions  torch 2.15.0, numpy 2.4.6, Python 3.11 (CPU)
# behaviour Each smoothed share is multiplied by the weight of its own class. With weights that balance the counts of HAM10000, the
#           answer with the least loss is 30 % nevus, 27 % dermatofibroma, 22 % vascular lesion, for every picture that is
#           surely a nevus. Either option alone gives the expected answer. No error, no warning.
# exit      0 as described; 1 if the answer with the least loss keeps .9 for the nevus
set -eu
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check torch==2.15.0 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import torch
from torch.nn.functional import cross_entropy

CODES = ("akiec", "bcc", "bkl", "df", "mel", "nv", "vasc")
counts = torch.tensor([327, 514, 1099, 115, 1113, 6705, 142.0])
balanced = counts.sum() / (len(CODES) * counts)
nevus = torch.tensor([CODES.index("nv")])


def answer(weight: torch.Tensor | None, smoothing: float) -> dict[str, float]:
    """Return the probabilities with the least loss for an image that is surely a nevus."""
    logits = torch.zeros(1, len(CODES), requires_grad=True)
    search = torch.optim.LBFGS([logits], max_iter=500, tolerance_grad=1e-9)

    def loss() -> torch.Tensor:
        search.zero_grad()
        value = cross_entropy(logits, nevus, weight=weight, label_smoothing=smoothing)
        value.backward()
        return value

    search.step(loss)
    return dict(zip(CODES, logits.detach().softmax(dim=1)[0].tolist(), strict=True))


found = {
    "smoothing .1": answer(None, 0.1),
    "balanced weights": answer(balanced, 0.0),
    "smoothing .1 and balanced weights": answer(balanced, 0.1),
}
for name, prob in found.items():
    print(name + ": " + ", ".join(f"{code} {value:.3f}" for code, value in prob.items()))
both = found["smoothing .1 and balanced weights"]
alone = min(found["smoothing .1"]["nv"], found["balanced weights"]["nv"])
sys.exit(0 if alone > 0.9 and both["nv"] < 0.35 and both["df"] > 0.2 else 1)
PYTHON
