"""Somebody else's model as a bundle, so that it can be judged and served like our own.

Here: putting our input and output around a foreign ONNX graph. Not here: Keras files (`keras_model`).

What the file cannot say has to be given: the order of its classes, how pixels were prepared, and whether it
gives probabilities or logits. A guess would be right often enough to be believed.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import onnx
import onnx.compose
import onnx.inliner
from onnx import TensorProto, helper, numpy_helper

from lesionwise.bundle.description import (
    GREATEST_SIDE,
    LEAST_SIDE,
    Description,
    ImageInput,
    verify_texts,
)
from lesionwise.bundle.engine import Engine
from lesionwise.bundle.load import Bundle, assemble, read_content, verify_writable, write_bundle
from lesionwise.bundle.onnx_file import verify_self_contained
from lesionwise.errors import BundleError, MissingExtraError
from lesionwise.export.keras_model import SUFFIXES, keras_to_onnx
from lesionwise.labels import CODES

Gives = Literal["probabilities", "logits"]
Channels = Literal["rgb", "bgr"]
Three = tuple[float, float, float]
_PREFIX: Final = "imported/"
_TINY: Final = 1e-12
_SUM_TOLERANCE: Final = 1e-3
_OLDEST_OPSET: Final = 13  # softmax and reductions mean the same from here on


@dataclass(frozen=True)
class Conventions:
    """What its maker has to say about a model.

    Attributes:
        classes: Diagnosis codes in the order of its outputs.
        gives: What its output is.
        divide: Pixels from 0 to 255 are first divided by this.
        mean: Then this is subtracted from each channel,
        std: and the rest divided by this.
        channels: Order of the colours.
        size: Height and width of its input in pixels; None if the file says it.
    """

    classes: tuple[str, ...]
    gives: Gives
    divide: float
    mean: Three
    std: Three
    channels: Channels = "rgb"
    size: tuple[int, int] | None = None


def import_model(path: Path, out: Path, conventions: Conventions, *, name: str, licence: str = "") -> Bundle:
    """Write a foreign model as a bundle; it stays uncalibrated.

    Args:
        path: A `.onnx`, `.keras` or `.h5` file with all its weights, one image input and one output of seven
            columns.

    Raises:
        BundleError: If the file is damaged or not such a model, or the conventions do not fit it.
    """
    origin: Literal["onnx", "keras"] = "keras" if path.suffix.lower() in SUFFIXES else "onnx"
    verify_writable(out)
    try:
        verify_conventions(conventions)
        verify_texts(name=name, licence=licence)
        content = keras_to_onnx(path) if origin == "keras" else read_content(path)
        verify_self_contained(content)
        graph, size = _wrapped(onnx.load_from_string(content), conventions)
    except BundleError as error:
        raise BundleError(f"{path}: {error}.") from error
    except MissingExtraError:
        raise
    except Exception as error:  # the protobuf and checker errors of onnx have no common base
        raise BundleError(f"{path}: cannot be taken apart: {error}.") from error
    description = Description(
        name=name,
        input=ImageInput(height=size[0], width=size[1]),
        outputs=("probabilities", "logits"),
        logits_are="last layer" if conventions.gives == "logits" else "log of probability",
        origin=origin,
        licence=licence,
        created=datetime.now(UTC).date(),
        package_version=version("lesionwise"),
    )
    bundle = assemble(graph, description, out)
    _verify_gives(Engine(bundle), conventions)
    write_bundle(bundle)
    return bundle


def verify_conventions(conventions: Conventions) -> None:
    """Make sure that the conventions are possible.

    Raises:
        BundleError: If a class is missing or named twice, a number is not one to divide by, or the size is
            none of an image.
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
    if conventions.size and not _is_image(conventions.size):
        raise BundleError(
            f"expected --size to be {LEAST_SIDE} to {GREATEST_SIDE} pixels a side but got "
            f"{conventions.size[0]}x{conventions.size[1]}"
        )


def _is_image(size: tuple[int, int]) -> bool:
    return min(size) >= LEAST_SIDE and max(size) <= GREATEST_SIDE


def _wrapped(model: Any, conventions: Conventions) -> tuple[bytes, tuple[int, int]]:  # noqa: ANN401 (a message of protobuf)
    """Return the graph with our input and outputs, and the size of its images."""
    opset = max((entry.version for entry in model.opset_import if not entry.domain), default=0)
    if opset < _OLDEST_OPSET:
        raise BundleError(f"is of opset {opset}; export it with opset {_OLDEST_OPSET} or later")
    model = onnx.compose.add_prefix(onnx.inliner.inline_local_functions(model), _PREFIX)
    graph = model.graph
    held = {weights.name for weights in graph.initializer}
    inputs = [port for port in graph.input if port.name not in held]
    if len(inputs) != 1 or len(graph.output) != 1:
        raise BundleError(f"has {len(inputs)} inputs and {len(graph.output)} outputs; expected one of each")
    layout, size = _layout(inputs[0], conventions)
    kind = inputs[0].type.tensor_type.elem_type
    before = _prepare(inputs[0].name, kind, layout, conventions)
    after = _answer(graph.output[0].name, conventions)
    nodes = [*before, *graph.node, *after]
    del graph.node[:], graph.input[:], graph.output[:], graph.value_info[:]
    graph.node.extend(nodes)
    graph.input.append(helper.make_tensor_value_info("image", TensorProto.UINT8, ["N", *size, 3]))
    for name in ("probabilities", "logits"):
        graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", len(CODES)]))
    del model.metadata_props[:]
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString(deterministic=True)), size


def _layout(port: Any, conventions: Conventions) -> tuple[Literal["nhwc", "nchw"], tuple[int, int]]:  # noqa: ANN401
    """Return where the channels stand, and height and width."""
    dims = port.type.tensor_type.shape.dim
    sides = [dim.dim_value if dim.dim_value > 0 else None for dim in dims]  # older exporters: -1 for any
    if len(sides) != 4 or sides.count(3) != 1 or sides.index(3) not in (1, 3):  # noqa: PLR2004 (N, and H, W, 3 or 3, H, W)
        raise BundleError(f"expected an input (N, H, W, 3) or (N, 3, H, W) but found {sides}")
    if sides[0] is not None:
        raise BundleError(f"takes {sides[0]} images at a time; export it for any number of images")
    last = sides.index(3) == 3  # noqa: PLR2004 (the last of four)
    height, width = sides[1:3] if last else sides[2:4]
    size = (height, width) if height and width else conventions.size
    if size is None:
        raise BundleError("takes images of any size; pass --size with the one that it was trained at")
    if conventions.size not in (None, size):
        raise BundleError(f"takes images of {size[0]}x{size[1]} pixels, not of {conventions.size}")
    if not _is_image(size):
        raise BundleError(
            f"takes images of {size[0]}x{size[1]} pixels; expected {LEAST_SIDE} to {GREATEST_SIDE} a side"
        )
    return ("nhwc" if last else "nchw"), size


def _prepare(target: str, kind: int, layout: str, conventions: Conventions) -> list[Any]:
    """Return the nodes from bytes of pixels to the foreign input."""
    mean, std = np.array(conventions.mean, np.float32), np.array(conventions.std, np.float32)
    order = np.array([0, 1, 2] if conventions.channels == "rgb" else [2, 1, 0])
    steps = [
        helper.make_node("Cast", ["image"], ["ours/float"], to=TensorProto.FLOAT),
        _constant("ours/order", order),
        helper.make_node("Gather", ["ours/float", "ours/order"], ["ours/channels"], axis=3),
        _constant("ours/divide", np.float32(conventions.divide)),
        helper.make_node("Div", ["ours/channels", "ours/divide"], ["ours/divided"]),
        _constant("ours/mean", mean),
        helper.make_node("Sub", ["ours/divided", "ours/mean"], ["ours/centred"]),
        _constant("ours/std", std),
        helper.make_node("Div", ["ours/centred", "ours/std"], ["ours/scaled"]),
    ]
    ready = "ours/scaled"
    if layout == "nchw":
        steps.append(helper.make_node("Transpose", [ready], ["ours/planes"], perm=[0, 3, 1, 2]))
        ready = "ours/planes"
    return [*steps, helper.make_node("Cast", [ready], [target], to=kind)]


def _answer(source: str, conventions: Conventions) -> list[Any]:
    """Return the nodes from the foreign output to ours."""
    order = np.array([conventions.classes.index(code) for code in CODES])
    steps = [
        helper.make_node("Cast", [source], ["ours/answer"], to=TensorProto.FLOAT),
        _constant("ours/classes", order),
    ]
    if conventions.gives == "logits":
        steps.append(helper.make_node("Gather", ["ours/answer", "ours/classes"], ["logits"], axis=1))
    else:
        steps += [
            helper.make_node("Gather", ["ours/answer", "ours/classes"], ["ours/sorted"], axis=1),
            _constant("ours/tiny", np.float32(_TINY)),
            helper.make_node("Max", ["ours/sorted", "ours/tiny"], ["ours/positive"]),
            helper.make_node("Log", ["ours/positive"], ["logits"]),
        ]
    return [*steps, helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1)]


def _constant(name: str, value: Any) -> Any:  # noqa: ANN401 (numpy in, protobuf out)
    return helper.make_node("Constant", [], [name], value=numpy_helper.from_array(np.asarray(value)))


def _verify_gives(engine: Engine, conventions: Conventions) -> None:
    """Make sure on a few images that the output is what it was said to be."""
    coarse = np.random.default_rng(0).integers(0, 256, (4, 12, 16, 3), np.uint8)
    raw = engine.predict(list(coarse)).logits.astype(float)
    if not np.isfinite(raw).all():
        raise BundleError(
            f"{engine.bundle.path}: was not written: this model gives values that are no numbers."
        )
    values = np.exp(raw) if conventions.gives == "probabilities" else raw
    within = bool(np.all((values > 2 * _TINY) & (values <= 1)))  # below 0 the logarithm is that of _TINY
    sums_to_one = bool(np.all(np.abs(values.sum(axis=1) - 1) < _SUM_TOLERANCE) and np.all(values >= 0))
    if within and not sums_to_one:
        raise BundleError(
            f"{engine.bundle.path}: was not written: the outputs of this model lie between 0 and 1 but do "
            "not add up to 1, as those of a sigmoid for each diagnosis; they are neither probabilities of "
            "seven diagnoses nor logits. Export it without its last layer, and pass --gives logits."
        )
    if sums_to_one == (conventions.gives == "probabilities"):
        return
    other = "logits" if conventions.gives == "probabilities" else "probabilities"
    raise BundleError(
        f"{engine.bundle.path}: was not written: the outputs of this model are not {conventions.gives} "
        f"but look like {other}. Pass --gives {other}."
    )
