#!/bin/sh
# OpenVINO reads an ONNX graph whose Resize has antialias=1, and computes it without the filter.
#
# guess     A runtime that does not know an attribute refuses the graph, or computes it as ONNX's reference does.
# versions  openvino 2026.4.1, onnx 1.23.2, numpy 2.4.6, Python 3.11 (CPU)
# behaviour No error and no warning. The output equals that of the same graph with antialias=0.
#           ONNX's reference evaluator gives another output: stripes of one pixel stay stripes in OpenVINO
#           and become grey in the reference.
# exit      0 as described; 1 if OpenVINO refuses the attribute or computes it
set -eu
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check openvino==2026.4.1 onnx==1.23.2 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import numpy as np
import onnx
import openvino as ov
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator


def resize(antialias: int) -> onnx.ModelProto:
    node = helper.make_node(
        "Resize", ["x", "", "", "sizes"], ["y"], mode="linear", coordinate_transformation_mode="half_pixel", antialias=antialias
    )
    sizes = helper.make_tensor("sizes", TensorProto.INT64, [4], [1, 1, 16, 16])
    graph = helper.make_graph(
        [node], "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 1, 64, 64])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 1, 16, 16])],
        [sizes],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


stripes = np.zeros((1, 1, 64, 64), np.float32)
stripes[..., 1::4] = 255
stripes[..., 2::4] = 255
core = ov.Core()
answers = {}
for antialias in (0, 1):
    model = resize(antialias)
    onnx.checker.check_model(model)
    compiled = core.compile_model(core.read_model(model.SerializeToString()), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    answers[antialias] = compiled(stripes)[0], ReferenceEvaluator(model).run(None, {"x": stripes})[0]
same = float(np.abs(answers[0][0] - answers[1][0]).max())
plain = float(np.abs(answers[0][0] - answers[0][1]).max())
apart = float(np.abs(answers[1][0] - answers[1][1])[..., 2:-2].max())
print(f"OpenVINO with and without antialias differ by {same:.1f} grey levels")
print(f"OpenVINO and the reference differ by {plain:.1f} without antialias and by {apart:.1f} with it")
sys.exit(0 if same == 0 and plain < 0.1 and apart > 20 else 1)
PYTHON
