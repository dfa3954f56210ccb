#!/bin/sh
# torch: the default ONNX exporter keeps dropout in the graph of a network in training mode; batch norm is that of evaluation.
#
# guess     `torch.onnx.export(network, ...)` writes what is used for answers, as it did for years: `training=TrainingMode.EVAL` is still the
#           default in its signature. Or it writes training mode, in all its parts.
# versions  torch 2.15.0, onnx 1.23.2, onnxscript 0.7.2, numpy 2.4.6, Python 3.11 (CPU)
# behaviour The graph of a network that was not switched by `eval()` has a Dropout that drops: its answers change from call to call. The
#           batch norm of the same network is folded with its running statistics, as in evaluation. With `dynamo=False` both are those
#           of evaluation. A warning recommends `eval()`; the export succeeds.
# exit      0 as described; 1 if the default exporter switches to evaluation or refuses
set -eu
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check torch==2.15.0 onnx==1.23.2 onnxscript==0.7.2 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import sys

import numpy as np
import onnx
import torch
from onnx.reference import ReferenceEvaluator
from torch import nn


def network(dropout: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    layers = nn.Conv2d(3, 16, 3), nn.BatchNorm2d(16), nn.ReLU(), dropout, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 7)
    made = nn.Sequential(*layers)
    with torch.no_grad():
        for _ in range(20):
            made.train()(torch.randn(8, 3, 16, 16))
    return made.train()


images = torch.randn(8, 3, 16, 16, generator=torch.Generator().manual_seed(1))
found = {}
for name, new, dropout in (
    ("default, with dropout", True, nn.Dropout(0.5)),
    ("default, batch norm alone", True, nn.Identity()),
    ("dynamo=False, with dropout", False, nn.Dropout(0.5)),
):
    made = network(dropout)
    options = {"dynamo": new, "opset_version": 18, "input_names": ["x"]} | ({"verbose": False} if new else {})
    torch.onnx.export(made, (images,), "network.onnx", **options)
    with torch.no_grad():
        expected = made.eval()(images).numpy()
    answer = ReferenceEvaluator(onnx.load("network.onnx")).run(None, {"x": images.numpy()})[0]
    found[name] = float(np.abs(answer - expected).max())
    print(f"{name}: unlike evaluation by {found[name]:.4f}")
default, norm, earlier = found.values()
sys.exit(0 if default > 0.01 and norm < 1e-4 and earlier < 1e-4 else 1)
PYTHON
