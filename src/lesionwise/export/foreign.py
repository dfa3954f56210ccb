"""Somebody else's model as a bundle, so that it can be judged and served like our own.

Here: putting our input and output around a foreign ONNX graph. Not here: Keras files (`keras_model`,
`keras_weights`).

The user states what the file does not: the order of its classes, how pixels were prepared, and whether it
gives probabilities or logits. A guess would be right often enough to be believed.
"""

import tempfile
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final, Literal, Self

import numpy as np
import onnx
import onnx.compose
from onnx import TensorProto, helper, numpy_helper

from lesionwise.arrays import Float32s, Pixels
from lesionwise.bundle.description import GREATEST_SIDE, LEAST_SIDE, Description, ImageInput, verify_texts
from lesionwise.bundle.engine import Engine
from lesionwise.bundle.load import Bundle, assemble, verify_writable, write_bundle
from lesionwise.errors import BundleError, LesionwiseError
from lesionwise.export.class_order import ClassOrder, find_order, verify_sure
from lesionwise.export.file_kind import file_kind
from lesionwise.export.keras_model import read_keras
from lesionwise.export.onnx_model import ForeignModel, ImagePort, image_port, is_image_size, read_onnx, short
from lesionwise.export.trial import (
    Gives,
    answers_of_file,
    oddities,
    probabilities_of,
    trial_pictures,
    verify_answers,
    verify_gives,
)
from lesionwise.labels import CODES
from lesionwise.predict.labelled import predict_labelled

Channels = Literal["rgb", "bgr"]
Three = tuple[float, float, float]
_PREFIX: Final = "imported/"
_TINY: Final = 1e-12
_IR_VERSION: Final = 8  # from 4 on weights need not be inputs
_WHOLE_NUMBERS: Final = (TensorProto.UINT8, TensorProto.INT8, TensorProto.INT32, TensorProto.INT64)


@dataclass(frozen=True)
class Conventions:
    """What the user states about a model, because its file does not.

    Attributes:
        classes: Diagnosis codes in the order of its outputs.
        gives: What its output is.
        divide: Number by which pixels from 0 to 255 are divided first.
        mean: Numbers that are then subtracted from red, green and blue.
        std: Numbers by which red, green and blue are divided last.
        channels: Order of the colours in the input of the model.
        size: Height and width of its input in pixels; None if the file states them.
        recipe: Recipe that has the layers of a file that holds only weights.
    """

    classes: tuple[str, ...]
    gives: Gives
    divide: float
    mean: Three
    std: Three
    channels: Channels = "rgb"
    size: tuple[int, int] | None = None
    recipe: str | None = None


@dataclass(frozen=True)
class Imported:
    """A foreign model that became a bundle.

    Attributes:
        changes: What was changed in its graph, in words.
        warnings: Signs that a convention is wrong, in sentences.
    """

    bundle: Bundle
    changes: tuple[str, ...]
    warnings: tuple[str, ...]


def import_model(
    path: Path, out: Path, conventions: Conventions, *, name: str, licence: str = ""
) -> Imported:
    """Write a foreign model as a bundle; it stays uncalibrated.

    It is written only if it gives the same answers to drawn pictures as the file itself.

    Args:
        path: An ONNX file or a Keras model, with one image input and one output of seven columns; or a file
            of Keras weights, if the conventions name a recipe.

    Raises:
        BundleError: If the file is damaged or not such a model, or the conventions do not fit it.
    """
    verify_writable(out)
    try:
        verify_conventions(conventions)
        verify_texts(name=name, licence=licence)
        origin: Literal["onnx", "keras"] = "onnx" if file_kind(path) == "onnx" else "keras"
        foreign = _read(path, origin, conventions)
        port = image_port(foreign.model, conventions.size)
        _verify_kind(port, conventions)
        pictures = trial_pictures(port.size)
        given = answers_of_file(foreign, lambda pixels: prepare(pixels, port, conventions), pictures)
        verify_gives(given[0][0], conventions.gives)
        graph = _wrapped(foreign, port, conventions)
        bundle = assemble(graph, _describe(port, conventions, origin, name, licence), out)
        expected = [
            (probabilities_of(values, conventions.classes, conventions.gives), tolerance)
            for values, tolerance in given
        ]
        verify_answers(Engine(bundle), pictures, expected, foreign.model)
    except BundleError as error:
        reason = str(error).removeprefix(f"{out}: ").removesuffix(".")
        raise BundleError(f"{path}: was not imported: {reason}.") from error
    except LesionwiseError:  # an extra that is missing or damaged
        raise
    except Exception as error:  # the protobuf and checker errors of onnx have no common base
        raise BundleError(f"{path}: was not imported: its graph cannot be read: {short(error)}.") from error
    write_bundle(bundle)
    warnings = oddities(expected[0][0], foreign.scalers, scales_outside=_scales(conventions))
    return Imported(bundle, foreign.changes, warnings)


def _read(path: Path, origin: Literal["onnx", "keras"], conventions: Conventions) -> ForeignModel:
    if conventions.recipe is not None:
        from lesionwise.export.keras_weights import read_weights  # noqa: PLC0415 (PyTorch: seconds)

        return read_weights(path, conventions.recipe, conventions.size)
    return (read_onnx if origin == "onnx" else read_keras)(path, conventions.size)


def find_classes(
    path: Path, conventions: Conventions, folder: Path, truth: Path | None = None, *, by_image: bool = False
) -> tuple[ClassOrder, tuple[str, ...]]:
    """Return the order of a model's classes that labelled pictures support, and what was left out of them.

    Args:
        conventions: Their classes are not used.

    Raises:
        BundleError: If the model cannot be imported, or the pictures do not settle the order.
        DataError: If the pictures cannot be used.
    """
    with tempfile.TemporaryDirectory() as place:
        as_ours = replace(conventions, classes=CODES)
        bundle = import_model(path, Path(place, "model.onnx"), as_ours, name="order of classes").bundle
        predictions, notes = predict_labelled(Engine(bundle), folder, truth, by_image=by_image)
    try:
        order = find_order(predictions)
        verify_sure(order)
    except BundleError as error:
        raise BundleError(f"{path}: {error}.") from error
    return order, notes


def prepare(pixels: Pixels, port: ImagePort, conventions: Conventions) -> Float32s:
    """Return pixels as the foreign model takes them; the graph of the bundle does the same.

    Args:
        pixels: RGB, shape (N, H, W, 3).
    """
    divided = pixels.astype(np.float32) / np.float32(conventions.divide)
    scaled = (divided - np.array(conventions.mean, np.float32)) / np.array(conventions.std, np.float32)
    ordered = scaled if conventions.channels == "rgb" else scaled[..., ::-1]
    return np.ascontiguousarray(ordered if port.layout == "nhwc" else ordered.transpose(0, 3, 1, 2))


def verify_conventions(conventions: Conventions) -> None:
    """Make sure that the conventions are possible.

    Raises:
        BundleError: If a class is missing or named twice, a divisor is not greater than 0, or no image can
            have the size.
    """
    if sorted(conventions.classes) != sorted(CODES):
        raise BundleError(
            f"expected --classes to be {', '.join(CODES)} in the order of the outputs, each once, but got "
            f"{', '.join(conventions.classes)}"
        )
    if not np.isfinite([conventions.divide, *conventions.mean, *conventions.std]).all():
        raise BundleError("expected --divide, --mean and --std to be finite numbers")
    if conventions.divide <= 0 or min(conventions.std) <= 0:
        raise BundleError("expected --divide and --std to be greater than 0")
    if conventions.size and not is_image_size(conventions.size):
        raise BundleError(
            f"expected each side of --size to have {LEAST_SIDE} to {GREATEST_SIDE} pixels but got "
            f"{conventions.size[0]}x{conventions.size[1]}"
        )


def _scales(conventions: Conventions) -> bool:
    return (conventions.divide, *conventions.mean, *conventions.std) != (1, 0, 0, 0, 1, 1, 1)


def _verify_kind(port: ImagePort, conventions: Conventions) -> None:
    if port.kind in _WHOLE_NUMBERS and _scales(conventions):
        raise BundleError("takes whole numbers as pixels. Pass --divide 1 --mean 0 --std 1")


def _describe(
    port: ImagePort, conventions: Conventions, origin: Literal["onnx", "keras"], name: str, licence: str
) -> Description:
    return Description(
        name=name,
        input=ImageInput(height=port.size[0], width=port.size[1]),
        outputs=("probabilities", "logits"),
        logits_are="last layer" if conventions.gives == "logits" else "log of probability",
        origin=origin,
        licence=licence,
        created=datetime.now(UTC).date(),
        package_version=version("lesionwise"),
    )


def _wrapped(foreign: ForeignModel, port: ImagePort, conventions: Conventions) -> bytes:
    """Return the graph with our input and outputs."""
    model = onnx.compose.add_prefix(foreign.model, _PREFIX)
    graph = model.graph
    before = _preparation(f"{_PREFIX}{port.name}", port, conventions)
    nodes = [*before, *graph.node, *_answer(graph.output[0].name, conventions)]
    del graph.node[:], graph.input[:], graph.output[:], graph.value_info[:]
    graph.node.extend(nodes)
    graph.input.append(helper.make_tensor_value_info("image", TensorProto.UINT8, ["N", *port.size, 3]))
    for name in ("probabilities", "logits"):
        graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", len(CODES)]))
    del model.metadata_props[:]
    model.ir_version = max(model.ir_version, _IR_VERSION)
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString(deterministic=True))


def _preparation(target: str, port: ImagePort, conventions: Conventions) -> list[Any]:
    """Return the nodes from bytes of pixels to the foreign input; the channels are put in order last."""
    chain = Chain("image", "ours/before").add("Cast", to=TensorProto.FLOAT)
    chain.add("Div", np.float32(conventions.divide))
    chain.add("Sub", np.array(conventions.mean, np.float32))
    chain.add("Div", np.array(conventions.std, np.float32))
    chain.add("Gather", np.array([0, 1, 2] if conventions.channels == "rgb" else [2, 1, 0]), axis=3)
    if port.layout == "nchw":
        chain.add("Transpose", perm=[0, 3, 1, 2])
    return chain.add("Cast", output=target, to=port.kind).nodes


def _answer(source: str, conventions: Conventions) -> list[Any]:
    """Return the nodes from the foreign output to ours."""
    order = np.array([conventions.classes.index(code) for code in CODES])
    chain = Chain(source, "ours/after").add("Cast", to=TensorProto.FLOAT)
    if conventions.gives == "logits":
        chain.add("Gather", order, output="logits", axis=1)
    else:
        chain.add("Gather", order, axis=1).add("Max", np.float32(_TINY)).add("Log", output="logits")
    return chain.add("Softmax", output="probabilities", axis=1).nodes


class Chain:
    """Nodes of an ONNX graph, each of which works on the output of the one before.

    Args:
        source: Name of the first input.
        place: First part of the names of the outputs.
    """

    def __init__(self, source: str, place: str) -> None:
        self.nodes: list[Any] = []
        self._last = source
        self._place = place

    def add(self, operator: str, constant: Any = None, *, output: str = "", **settings: Any) -> Self:  # noqa: ANN401 (numpy in, protobuf out)
        """Add a node. `constant`: its second input, if it has one."""
        inputs = [self._last]
        if constant is not None:
            inputs.append(f"{self._place}/constant_{len(self.nodes)}")
            tensor = numpy_helper.from_array(np.asarray(constant))
            self.nodes.append(helper.make_node("Constant", [], inputs[1:], value=tensor))
        self._last = output or f"{self._place}/{operator}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [self._last], **settings))
        return self
