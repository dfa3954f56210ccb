"""Somebody else's ONNX file as a graph that a bundle can hold, with the answers of the file as it was.

Here: weights in another file, old opsets, half precision, a fixed number of images. Each of these is changed
in a copy. ONNX Runtime, or the reference implementation of ONNX, runs the file as it was, so that the two can
be compared. Not here: what the file does not state (`foreign`), and the comparison (`trial`).
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import onnx
import onnx.inliner
import onnx.version_converter
from onnx import TensorProto, helper, numpy_helper

from lesionwise.arrays import Float32s
from lesionwise.bundle.description import GREATEST_SIDE, LEAST_SIDE
from lesionwise.bundle.load import MAX_BYTES
from lesionwise.bundle.texts import printable
from lesionwise.errors import BundleError
from lesionwise.labels import CODES
from lesionwise.wording import counted

Layout = Literal["nhwc", "nchw"]
AnswerFunction = Callable[[Float32s], Float32s]
"""Function from an image as the model takes it, (1, H, W, 3) or (1, 3, H, W), to its answers (1, C)."""

TOLERANCE: Final = 1e-4
"""Accepted difference between a probability of the bundle and that of the file."""

_HALF_TOLERANCE: Final = 1e-2  # what sixteen bits round away, layer by layer
_OLDEST_OPSET: Final = 9  # the first of PyTorch 1.2; the reference runs nothing older
_OPSET: Final = 13  # softmax and reductions mean the same from here on
_SHOWN: Final = 300  # characters of somebody else's reason
_SCALER: Final = re.compile(r"(^|/)(rescaling|normalization)(_\d+)?/")  # as tf2onnx names the nodes of Keras
_HALVES: Final = (TensorProto.FLOAT16, TensorProto.BFLOAT16)


@dataclass(frozen=True)
class ForeignModel:
    """A model that was read.

    Attributes:
        model: Its graph for any number of images, in fp32, of an opset that is supported.
        answers: Each way to compute the answers of the file itself, with its accepted difference of a
            probability.
        scalers: Names of its layers that scale pixels.
        changes: What was changed in the graph, in words.
    """

    model: Any
    answers: tuple[tuple[AnswerFunction, float], ...]
    scalers: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()


@dataclass(frozen=True)
class ImagePort:
    """The input of a model.

    Attributes:
        layout: Place of the channels.
        kind: Kind of its numbers, as `TensorProto.DataType`.
        batch: Number of images at a time; None for any.
    """

    name: str
    layout: Layout
    size: tuple[int, int]
    kind: int
    batch: int | None = None


def read_onnx(path: Path, size: tuple[int, int] | None) -> ForeignModel:
    """Read an ONNX file.

    Args:
        path: The file; its weights may be in other files of the same folder.
        size: Height and width of its images in pixels, if it takes any size.

    Raises:
        BundleError: If it is damaged, or a bundle cannot hold its network; the message does not name it.
    """
    original = _load(path)
    port = image_port(original, size)
    stated = [dim.dim_value for dim in original.graph.output[0].type.tensor_type.shape.dim]
    if len(stated) > 1 and stated[-1] > 0:  # `trial` checks the outputs of all models
        verify_columns(tuple(stated))
    opset = _opset(original)
    if opset < _OLDEST_OPSET:
        raise BundleError(f"has opset {opset}. Export it with opset {_OLDEST_OPSET} or later")
    model, changes = original, []
    answers = [(answer_of(original, port), TOLERANCE)]
    if any(tensor.data_type in _HALVES for tensor in model.graph.initializer):
        model, in_fp32 = _in_fp32(model), replace(port, kind=TensorProto.FLOAT)
        answers = [(answers[0][0], _HALF_TOLERANCE), (answer_of(model, in_fp32), TOLERANCE)]
        changes.append("it now computes in fp32; its weights had sixteen bits")
    if opset < _OPSET:
        model = _converted(model)
        changes.append(f"its opset is now {_OPSET}; it was {opset}")
    if port.batch is not None:
        model = _for_any_number(model, port.batch)
        changes.append(f"it now takes any number of images; it took {port.batch} at a time")
    scalers = {found[2] for node in model.graph.node if (found := _SCALER.search(node.name))}
    return ForeignModel(model, tuple(answers), tuple(sorted(scalers)), tuple(changes))


def image_port(model: Any, size: tuple[int, int] | None) -> ImagePort:  # noqa: ANN401 (a message of protobuf)
    """Return the one input of a model; several, or one that takes no images, are a BundleError."""
    held = {weights.name for weights in model.graph.initializer}
    inputs = [port for port in model.graph.input if port.name not in held]
    verify_one_each(len(inputs), len(model.graph.output), "onnx.utils.extract_model")
    kind = inputs[0].type.tensor_type
    sides = [dim.dim_value if dim.dim_value > 0 else None for dim in kind.shape.dim]  # -1: any
    layout, chosen = image_layout(sides, size)
    return ImagePort(inputs[0].name, layout, chosen, kind.elem_type, sides[0])


def image_layout(
    sides: Sequence[int | None], wished: tuple[int, int] | None
) -> tuple[Layout, tuple[int, int]]:
    """Return the place of the channels in an input, and the height and width of its images.

    Args:
        sides: Length of each side of the input; None for any.
        wished: Height and width that the user states; None for nothing.

    Raises:
        BundleError: If it takes no colour images of a size that a bundle can have.
    """
    if len(sides) != 4 or sides.count(3) != 1 or sides.index(3) not in (1, 3):  # noqa: PLR2004 (N, and H, W, 3 or 3, H, W)
        flat = ". Put a reshape before it, so that it takes pictures" if len(sides) == 2 else ""  # noqa: PLR2004 (N, pixels)
        raise BundleError(
            f"expected an input (N, H, W, 3) or (N, 3, H, W) but found ({_in_words(sides)}){flat}"
        )
    layout: Layout = "nchw" if sides.index(3) == 1 else "nhwc"
    height, width = sides[2:] if layout == "nchw" else sides[1:3]
    return layout, _chosen_size((height, width), wished)


def _in_words(sides: Sequence[int | None], between: str = ", ") -> str:
    return between.join("any" if side is None else str(side) for side in sides)


def verify_one_each(inputs: int, outputs: int, way: str) -> None:
    """Make sure that a model has one input and one output.

    Args:
        way: Code that removes the other outputs.
    """
    if (inputs, outputs) != (1, 1):
        rest = f". Keep only the output with the diagnoses: {way}" if inputs == 1 else ""
        raise BundleError(
            f"has {counted(inputs, 'input')} and {counted(outputs, 'output')}; expected one of each{rest}"
        )


def _chosen_size(stated: tuple[int | None, int | None], wished: tuple[int, int] | None) -> tuple[int, int]:
    """Return the height and width of a model's images, from those of its file and those of the user."""
    if None in stated and wished is None:
        raise BundleError("takes images of any size. Pass the size of its training images with --size")
    fits = wished is None or all(a in {None, b} for a, b in zip(stated, wished, strict=True))
    if wished is not None and not fits:
        raise BundleError(
            f"takes images of {_in_words(stated, 'x')} pixels, but --size is {_in_words(wished, 'x')}. "
            "Leave --size out"
        )
    size = wished or (int(stated[0] or 0), int(stated[1] or 0))
    if not is_image_size(size):
        raise BundleError(
            f"takes images of {size[0]}x{size[1]} pixels; each side must have {LEAST_SIDE} to {GREATEST_SIDE}"
        )
    return size


def is_image_size(size: tuple[int, int]) -> bool:
    """Return whether a bundle can take images of a height and width."""
    return min(size) >= LEAST_SIDE and max(size) <= GREATEST_SIDE


def answer_of(model: Any, port: ImagePort) -> AnswerFunction:  # noqa: ANN401
    """Return the function that runs a model as it is, on ONNX Runtime or on the reference of ONNX.

    Args:
        port: Its input; a model of several images at a time gets the same one several times.

    Raises:
        BundleError: If it cannot be run; the function raises it as well.
    """
    run = _runner(model)
    kind = helper.tensor_dtype_to_np_dtype(port.kind)

    def answer(image: Float32s) -> Float32s:
        try:
            found = run({port.name: np.repeat(image, port.batch or 1, axis=0).astype(kind)})
        except Exception as error:  # neither runtime has one base for its errors
            raise BundleError(f"cannot be run, so it cannot be checked: {short(error)}") from error
        values: Float32s = np.asarray(found, np.float32)
        return values[:1] if values.ndim else values[None]

    return answer


def short(error: Exception) -> str:
    """Return the first line of another library's reason, as the end of a sentence."""
    lines = [line.strip() for line in str(error).splitlines()]
    reason = printable(next((line for line in lines if line), type(error).__name__))
    cut = reason if len(reason) <= _SHOWN else f"{reason[:_SHOWN]}…"
    return cut.rstrip(".")


def _runner(model: Any) -> Callable[[dict[str, Any]], Any]:  # noqa: ANN401
    try:
        if find_spec("onnxruntime") is None:
            from onnx.reference import ReferenceEvaluator  # noqa: PLC0415 (half a second)

            evaluator: Any = ReferenceEvaluator(model)
            return lambda inputs: evaluator.run(None, inputs)[0]
        import onnxruntime  # noqa: PLC0415 (an extra)

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4  # its refusals are raised; nothing is printed
        # Without its own rewriting of graphs, it answers as the operators are defined.
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        session = onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"], enable_fallback=0
        )
    except Exception as error:
        raise BundleError(f"cannot be run, so it cannot be checked: {short(error)}") from error
    return lambda inputs: session.run(None, inputs)[0]


def _load(path: Path) -> Any:  # noqa: ANN401
    """Return the model with all its weights, and without functions of its own."""
    try:
        model = onnx.load(path, load_external_data=False)
    except Exception as error:  # those of protobuf have no common base
        raise BundleError("is a damaged ONNX file. Copy or export it again") from error
    _fetch_weights(model, path.parent)
    return onnx.inliner.inline_local_functions(model)


def _fetch_weights(model: Any, folder: Path) -> None:  # noqa: ANN401
    """Read weights from other files, which must be in the folder of the model itself."""
    held = [*model.graph.initializer, *(a.t for node in model.graph.node for a in node.attribute)]
    outside = [tensor for tensor in held if tensor.data_location == TensorProto.EXTERNAL]
    places = {entry.value for tensor in outside for entry in tensor.external_data if entry.key == "location"}
    total = 0
    for place in sorted(places):
        beside = folder / place
        if place != Path(place).name or "\\" in place or beside.is_symlink():
            raise BundleError(f"keeps weights in {printable(place)}, which is not a plain file in its folder")
        if not beside.is_file():
            raise BundleError(
                f"keeps weights in {printable(place)}, which is missing. Copy it into its folder"
            )
        total += beside.stat().st_size
    if total > MAX_BYTES:
        raise BundleError(f"has more than {MAX_BYTES >> 20} MB of weights, the most that a bundle may have")
    if outside:
        try:
            onnx.load_external_data_for_model(model, str(folder))
        except Exception as error:
            raise BundleError(f"has a file of weights that does not fit its graph: {short(error)}") from error


def verify_columns(shape: tuple[int, ...]) -> None:
    """Make sure that answers are a row of seven for each image.

    Args:
        shape: Shape of an output.
    """
    if len(shape) != 2:  # noqa: PLR2004 (N, C)
        raise BundleError(
            f"gives an output with {counted(len(shape), 'axis', 'axes')}; expected (N, {len(CODES)}): a row "
            "for each image"
        )
    if shape[1] != len(CODES):
        raise BundleError(
            f"gives {counted(shape[1], 'output')} for each image; expected {len(CODES)}, one for each of "
            f"{', '.join(CODES)}"
        )


def _opset(model: Any) -> int:  # noqa: ANN401
    return max((entry.version for entry in model.opset_import if entry.domain in {"", "ai.onnx"}), default=0)


def _converted(model: Any) -> Any:  # noqa: ANN401
    try:
        return onnx.version_converter.convert_version(model, _OPSET)
    except Exception as error:
        raise BundleError(
            f"has opset {_opset(model)}, which cannot be converted to {_OPSET}: {short(error)}. Export it "
            f"with opset {_OPSET} or later"
        ) from error


def _in_fp32(model: Any) -> Any:  # noqa: ANN401
    """Return a copy in which every number of sixteen bits has thirty-two."""
    made = _copy(model)
    for tensor in made.graph.initializer:
        _widen(tensor)
    for node in made.graph.node:
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.TENSOR:
                _widen(attribute.t)
            elif attribute.name in {"to", "dtype"} and attribute.i in _HALVES:
                attribute.i = TensorProto.FLOAT
    for port in (*made.graph.input, *made.graph.output):
        if port.type.tensor_type.elem_type in _HALVES:
            port.type.tensor_type.elem_type = TensorProto.FLOAT
    del made.graph.value_info[:]
    return made


def _widen(tensor: Any) -> None:  # noqa: ANN401
    if tensor.data_type in _HALVES:
        values = numpy_helper.to_array(tensor).astype(np.float32)
        tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))


def _for_any_number(model: Any, batch: int) -> Any:  # noqa: ANN401
    """Return a copy that takes any number of images, as far as its reshapings show how.

    `trial` checks whether it answers each of several images as it did one.
    """
    made = _copy(model)
    held = {weights.name for weights in made.graph.initializer}
    for port in (*made.graph.input, *made.graph.output):
        if port.name not in held and port.type.tensor_type.shape.dim:
            port.type.tensor_type.shape.dim[0].dim_param = "N"
    del made.graph.value_info[:]
    constants = {tensor.name: tensor for tensor in made.graph.initializer}
    constants |= {
        node.output[0]: attribute.t
        for node in made.graph.node
        if node.op_type == "Constant"
        for attribute in node.attribute
        if attribute.name == "value"
    }
    for place, node in enumerate(made.graph.node):
        if node.op_type != "Reshape" or node.input[1] not in constants:
            continue
        shape = numpy_helper.to_array(constants[node.input[1]])
        if shape.size < 2 or shape[0] != batch:  # noqa: PLR2004 (N and more)
            continue
        opened = shape.copy()
        opened[0] = 0 if -1 in shape else -1  # 0: as many as come in
        node.input[1] = f"any_number_{place}"
        made.graph.initializer.append(numpy_helper.from_array(opened, node.input[1]))
        for attribute in node.attribute:
            if attribute.name == "allowzero":
                attribute.i = 0
    return made


def _copy(model: Any) -> Any:  # noqa: ANN401
    made = onnx.ModelProto()
    made.CopyFrom(model)
    return made
