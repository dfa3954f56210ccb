"""The convolutions of a graph in eight bits, on OpenVINO.

The file holds one graph in fp32, and the range of the inputs of each convolution on `cal`. For int8, two
roundings are added in front of each convolution when the graph is loaded: of its input, to 256 steps within
that range, and of its weights, to 255 steps within the range of each output channel. OpenVINO then computes
the convolution with integers. Three kinds of layers are not rounded, because that would change the most
answers and save little time: the first convolution, depthwise ones, and the head.

Here: which convolutions, and the roundings. Not here: measuring the ranges and what int8 changes
(`lesionwise.export.precision`).

References:
    https://docs.openvino.ai/2026/openvino-workflow/model-optimization.html
"""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

Ranges = Mapping[str, tuple[float, float]]
_FEATURES: Final = ".network.features."  # in the name that PyTorch's exporter gives a weight
_COLOURS: Final = 3  # inputs of the convolution that sees the image
_INPUT_STEPS: Final = 256
_WEIGHT_STEPS: Final = 255  # as many on both sides of zero
_LEAST: Final = 1e-9  # range of a channel whose weights are all zero


def find_convolutions(model: Any) -> dict[str, Any]:  # noqa: ANN401 (a module without types)
    """Return the convolutions of an OpenVINO model that can be rounded, by the name of their weights."""
    found = {}
    for layer in model.get_ordered_ops():
        if layer.get_type_name() != "Convolution":  # a depthwise one is a GroupConvolution
            continue
        weights = _weights(layer)
        name = weights.get_friendly_name()
        is_first = layer.input_value(1).get_shape()[1] == _COLOURS
        if weights.get_type_name() == "Constant" and _FEATURES in name and not is_first:
            found[name] = layer
    return found


def _weights(layer: Any) -> Any:  # noqa: ANN401 (the same)
    """Return where the weights of a layer come from, which may be stored in fp16 and converted."""
    source = layer.input_value(1).get_node()
    return source.input_value(0).get_node() if source.get_type_name() == "Convert" else source


def round_convolutions(model: Any, ranges: Ranges) -> None:  # noqa: ANN401 (the same)
    """Put the roundings into an OpenVINO model.

    Args:
        ranges: Least and greatest value of the input of each convolution, by the name of its weights.
    """
    for name, layer in find_convolutions(model).items():
        if name not in ranges:
            continue
        least, greatest = (np.full((1, 1, 1, 1), value, np.float32) for value in ranges[name])
        _round(layer, 0, (least, greatest), _INPUT_STEPS)
        weights = _weights(layer).data
        reach = np.maximum(np.abs(weights).max(axis=(1, 2, 3), keepdims=True), _LEAST).astype(np.float32)
        _round(layer, 1, (-reach, reach), _WEIGHT_STEPS)
    model.validate_nodes_and_infer_types()


def _round(layer: Any, port: int, limits: tuple[Any, Any], steps: int) -> None:  # noqa: ANN401 (the same)
    from openvino import opset13  # noqa: PLC0415 (openvino is loaded by `runtimes`, without its telemetry)

    low, high = map(opset13.constant, limits)
    rounded = opset13.fake_quantize(layer.input_value(port), low, high, low, high, steps)
    layer.input(port).replace_source_output(rounded.output(0))
