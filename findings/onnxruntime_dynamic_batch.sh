#!/bin/sh
# ONNX Runtime: after dynamic quantization, the answer for an image depends on the other images of its call.
#
# guess     Each row of a batch is computed by itself, as in the network before. Eight bits make answers coarser, and the same for all.
# versions  onnxruntime 1.31.1, onnx 1.23.2, numpy 2.4.6, Python 3.11 (CPU)
# behaviour `quantize_dynamic` puts one scale for all rows of an activation into the graph, taken from the largest and the smallest value of
#           the whole call. One image with large values makes the steps of all others coarser. Of 200 rows, 5 get another class
#           together than alone, and probabilities move by up to .018. The graph in 32 bits gives the same bits both ways.
#           A service that joins requests, or a last batch that is smaller, then changes answers. No error, no warning.
# exit      0 as described; 1 if rows do not depend on each other
set -eu
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check onnxruntime==1.31.1 onnx==1.23.2 numpy==2.4.6 sympy
cd "$folder"
"$folder/venv/bin/python" -W ignore - 2>/dev/null <<'PYTHON'
import sys

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import quantize_dynamic

chance = np.random.default_rng(0)
weights = [chance.normal(size=(64, 32)) / 8, chance.normal(size=(32, 7)) / 5]
graph = helper.make_graph(
    [
        helper.make_node("MatMul", ["x", "w0"], ["a"]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("MatMul", ["b", "w1"], ["y"]),
    ],
    "two layers",
    [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 64])],
    [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 7])],
    [numpy_helper.from_array(weight.astype(np.float32), f"w{place}") for place, weight in enumerate(weights)],
)
onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), "float.onnx")
quantize_dynamic("float.onnx", "eight.onnx")
x = chance.normal(size=(200, 64)) * chance.uniform(0.3, 3, size=(200, 1))
x = x.astype(np.float32)
moved, changed = {}, {}
for name in ("float", "eight"):
    session = onnxruntime.InferenceSession(f"{name}.onnx", providers=["CPUExecutionProvider"])
    together = session.run(None, {"x": x})[0]
    alone = np.concatenate([session.run(None, {"x": row[None]})[0] for row in x])
    both = [np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True) for logits in (together, alone)]
    moved[name] = float(np.abs(both[0] - both[1]).max())
    changed[name] = int((together.argmax(axis=1) != alone.argmax(axis=1)).sum())
    print(f"{name}: alone or together, probabilities differ by {moved[name]:.4f}; {changed[name]} of 200 answers differ")
sys.exit(0 if moved["float"] < 1e-6 and changed["eight"] >= 2 and moved["eight"] > 0.005 else 1)
PYTHON
