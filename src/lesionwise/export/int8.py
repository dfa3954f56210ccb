"""Eight bits instead of thirty-two: the convolutions of a bundle's networks, as ONNX Runtime quantises them.

Here: which layers become integers, and how. Not here: counting what that changes (`training.fewer_bits`).

Each weight is stored as an integer with a scale for its output channel; what goes into a convolution is
rounded to 256 steps between the least and the greatest value that the given images led to. What comes out is
not rounded again: that would be quicker on ONNX Runtime alone, and change half as many answers more.
Normalisation, view, head, calibration and the rejection score stay as they are, and so does the first
convolution: it is cheap, and rounding what it sees was a third of the harm.

References:
    https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import onnx
from numpy.typing import NDArray

from lesionwise.errors import BundleError, MissingExtraError
from lesionwise.export.graph import without_traces

Batch = Mapping[str, NDArray[Any]]

_OPERATOR: Final = "Conv"
_FEATURES: Final = ".network.features."  # in the name that PyTorch's exporter gives a weight
_COLOURS: Final = 3  # inputs of the convolution that sees the image
_SEEN: Final = ("onnx.quant.pre_process", "onnxruntime.quant")  # else it advises what was done at export


def verify_quantiser() -> None:
    """Make sure that what quantises is installed, before the work that ends in it.

    Raises:
        MissingExtraError: If it is not.
    """
    _quantisation()


def to_int8(content: bytes, batches: Iterable[Batch]) -> bytes:
    """Return a graph with its convolutions in eight bits; inputs and outputs are named as before.

    Weights use seven of the eight bits: processors without VNNI instructions add up two products in sixteen
    bits, which eight would overflow, and the same file would answer otherwise there.

    Args:
        content: An ONNX file from `bundle.export.to_onnx`.
        batches: Images as the graph takes them, an array by the name of each input: their values set the
            ranges. All of `cal`, read as ever.

    Raises:
        BundleError: If the graph has no such convolution.
        MissingExtraError: If ONNX Runtime is not installed.
    """
    tools = _quantisation()
    model = onnx.load_from_string(content)
    nodes = _convolutions(model)
    if not nodes:
        raise BundleError(
            "int8 is for convolutions, and this model has none behind its first one. Export it in fp32 or "
            "bf16."
        )
    model.metadata_props.add(key=_SEEN[0], value=_SEEN[1])
    with TemporaryDirectory() as folder:
        path = Path(folder) / "int8.onnx"
        tools.quantize_static(
            model,
            path,
            _Reader(batches),
            quant_format=tools.QuantFormat.QDQ,
            op_types_to_quantize=[_OPERATOR],
            nodes_to_quantize=nodes,
            per_channel=True,
            reduce_range=True,
            activation_type=tools.QuantType.QUInt8,
            weight_type=tools.QuantType.QInt8,
            calibrate_method=tools.CalibrationMethod.MinMax,
            extra_options={"OpTypesToExcludeOutputQuantization": [_OPERATOR]},
        )
        return without_traces(onnx.load(path))


def _convolutions(model: onnx.ModelProto) -> list[str]:
    """Return the names of the convolutions behind the first of each network."""
    weights = {weight.name: weight.dims for weight in model.graph.initializer if _FEATURES in weight.name}
    return [
        node.name
        for node in model.graph.node
        if node.op_type == _OPERATOR and node.input[1] in weights and weights[node.input[1]][1] != _COLOURS
    ]


class _Reader:
    """Hands out the batches one by one, then None; the quantiser asks for no more than that."""

    def __init__(self, batches: Iterable[Batch]) -> None:
        self._waiting = iter(batches)

    def get_next(self) -> Batch | None:
        """Return the next batch."""
        return next(self._waiting, None)


def _quantisation() -> Any:  # noqa: ANN401 (a package without types)
    try:
        from onnxruntime import quantization  # noqa: PLC0415 (an extra)
    except ModuleNotFoundError as error:
        raise MissingExtraError("onnxruntime", error.name or "onnxruntime") from error
    return quantization
