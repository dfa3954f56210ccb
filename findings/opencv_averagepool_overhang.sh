#!/bin/sh
# The new engine of OpenCV 5 divides an AveragePool window that hangs over an odd edge by the whole kernel; its classic engine does not.
#
# guess     With ceil_mode=1 and no pads there is no padding to count, so count_include_pad changes nothing, and the mean over
#           a constant image is the constant at the edge too, in both engines and in ONNX's reference.
# versions  opencv-python-headless 5.0.0.93, onnx 1.23.2, numpy 2.4.6, Python 3.11 (CPU)
# behaviour The reference and the classic engine give the constant. The new engine, which is the default, gives half of it at an
#           edge and a quarter in the corner if count_include_pad is 1, as PyTorch exports AvgPool2d(2, ceil_mode=True).
# exit      0 as described; 1 if the new engine gives the constant, or another one does not
set -eu
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
    opencv-python-headless==5.0.0.93 onnx==1.23.2 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import cv2
import numpy as np
from onnx import TensorProto, helper, save
from onnx.reference import ReferenceEvaluator

x = np.full((1, 1, 3, 3), 8, np.float32)


def answers(counted: int) -> dict[str, list[list[float]]]:
    """Return the 2 by 2 output of a pool over a constant image of odd sides."""
    node = helper.make_node(
        "AveragePool", ["x"], ["y"], kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1, count_include_pad=counted
    )
    graph = helper.make_graph(
        [node], "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 1, 3, 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 1, 2, 2])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    save(model, "pool.onnx")
    found = {"reference": ReferenceEvaluator(model).run(None, {"x": x})[0]}
    for name, engine in (("classic", cv2.dnn.ENGINE_CLASSIC), ("new", cv2.dnn.ENGINE_NEW)):
        net = cv2.dnn.readNetFromONNX("pool.onnx", engine)
        net.setInput(x, "x")
        found[name] = net.forward("y")
    return {name: values[0, 0].tolist() for name, values in found.items()}


constant, overhanging = [[8.0, 8.0], [8.0, 8.0]], [[8.0, 4.0], [4.0, 2.0]]
plain, counted = answers(0), answers(1)
for name in counted:
    print(f"{name}: count_include_pad=0 gives {plain[name]}, count_include_pad=1 gives {counted[name]}")
alike = all(values == constant for values in plain.values())
apart = counted == {"reference": constant, "classic": constant, "new": overhanging}
sys.exit(0 if alike and apart else 1)
PYTHON
