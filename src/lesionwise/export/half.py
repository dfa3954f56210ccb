"""Weights stored in sixteen bits, computed with in thirty-two: little more than half the file, near answers.

Here: rewriting the graph. Not here: a graph that computes with fewer bits (`int8`, and `bf16` of the engine).
"""

from typing import Final

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from lesionwise.errors import BundleError
from lesionwise.export.graph import without_traces

_EXACT: Final = ("ood.", ".view.")  # in the name of a weight: rejection and view stay as they are
_FEWEST: Final = 1024  # numbers of a tensor: smaller ones, such as scales and offsets, cost no bytes


def in_half(content: bytes) -> bytes:
    """Return a graph whose large weights are stored as float16 and turned into float32 as they are loaded.

    A layer with a weight that is too large for float16 stays as it is.

    Args:
        content: An ONNX file from `bundle.export.to_onnx`.

    Raises:
        BundleError: If no weight is large.
    """
    model = onnx.load_from_string(content)
    casts = []
    for weight in model.graph.initializer:
        values = numpy_helper.to_array(weight)
        exact = any(part in weight.name for part in _EXACT)
        if weight.data_type != TensorProto.FLOAT or values.size < _FEWEST or exact:
            continue
        with np.errstate(over="ignore"):
            half = values.astype(np.float16)
        if not np.isfinite(half).all():
            continue
        full, stored = weight.name, f"{weight.name}.half"
        weight.CopyFrom(numpy_helper.from_array(half, stored))
        casts.append(helper.make_node("Cast", [stored], [full], to=TensorProto.FLOAT))
    if not casts:
        raise BundleError("fp16 is for large weights, and this model has none. Export it in fp32.")
    nodes = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend([*casts, *nodes])
    return without_traces(model)
