#!/bin/sh
# torch: the default ONNX exporter exports a network in training mode as it is; the earlier one switched it to evaluation.
#
# guess     `torch.onnx.export(network, ...)` writes what is used for answers, as it did for years: `training=TrainingMode.EVAL` is still the
#           default in its signature.
# versions  torch 2.15.0, onnx 1.23.2, onnxscript 0.7.2, numpy 2.4.6, Python 3.11 (CPU)
# behaviour A network that was trained and not switched by `eval()` gets a graph that normalises by the statistics of the batch: the answer
#           for an image depends on the others, and alone it is another one (by up to .5 of a probability here). With `dynamo=False` the
#           graph is that of evaluation, and the network is in training mode again afterwards. A warning is logged or not,
#           depending on the version; the export succeeds.
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

torch.manual_seed(0)
network = nn.Sequential(nn.Conv2d(3, 16, 3), nn.BatchNorm2d(16), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 7))
images = torch.randn(8, 3, 16, 16) * torch.linspace(0.3, 3, 8)[:, None, None, None]
with torch.no_grad():
    for _ in range(50):
        network.train()(images)
    nn.init.normal_(network[-1].weight, std=3)
found = {}
for name, new in (("default", True), ("dynamo=False", False)):
    network.train()
    options = {"dynamo": new, "opset_version": 18}
    if new:
        options |= {"dynamic_shapes": ({0: torch.export.Dim("N", min=1, max=64)},), "verbose": False}
    else:
        options |= {"input_names": ["x"], "dynamic_axes": {"x": {0: "N"}}}
    torch.onnx.export(network, (images,), f"{new}.onnx", **options)
    graph = onnx.load(f"{new}.onnx")
    session, label = ReferenceEvaluator(graph), graph.graph.input[0].name
    with torch.no_grad():
        expected = network.eval()(images).softmax(dim=1).numpy()
    alone = np.concatenate([session.run(None, {label: image[None].numpy()})[0] for image in images])
    together = session.run(None, {label: images.numpy()})[0]
    softmax = [torch.from_numpy(np.asarray(logits)).softmax(dim=1).numpy() for logits in (alone, together)]
    found[name] = [float(np.abs(each - expected).max()) for each in softmax]
    print(f"{name}: unlike evaluation by {found[name][0]:.4f} alone and {found[name][1]:.4f} together")
sys.exit(0 if found["default"][0] > 0.05 and max(found["dynamo=False"]) < 1e-4 else 1)
PYTHON
