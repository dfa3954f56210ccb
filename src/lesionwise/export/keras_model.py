"""Keras files (`.keras`, `.h5`) as ONNX, through Keras 3 on its torch backend."""

import io
import json
import os
import re
import shutil
import tempfile
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx

from lesionwise.arrays import Float32s
from lesionwise.bundle.load import MAX_BYTES
from lesionwise.errors import BundleError, import_extra
from lesionwise.export.file_kind import file_kind
from lesionwise.export.keras2 import LayerArrays, build_model, fill
from lesionwise.export.onnx_model import (
    TOLERANCE,
    ForeignModel,
    image_layout,
    short,
    verify_columns,
    verify_one_each,
)

_MAX_TEXT: Final = 16 << 20  # the configuration of EfficientNetB7 has 0.5 MB
_CODE_CARRIERS: Final = ("Lambda", "TFSMLayer")  # they contain or fetch code
_SCALERS: Final = ("Rescaling", "Normalization")
_CAPITALS: Final = re.compile("(.)([A-Z][a-z0-9]+)")
_SMALL: Final = re.compile("([a-z])([A-Z])")
_CONVERT: Final = (
    "Convert it to ONNX with that version of Keras, at opset 17 (tf2onnx: "
    '"python -m tf2onnx.convert --keras FILE --opset 17 --output model.onnx"), and import that'
)


def read_keras(path: Path, size: tuple[int, int] | None) -> ForeignModel:
    """Read a Keras model.

    Args:
        path: A whole model, with its architecture. Its format is read from its first bytes.
        size: Height and width of its images in pixels, if it takes any size.

    Raises:
        BundleError: If it cannot be read, contains code, or is no classifier of images into seven classes;
            the message does not name it.
        MissingExtraError: If Keras is not installed.
    """
    suffix = ".keras" if file_kind(path) == "keras zip" else ".h5"
    config, written_by = _architecture(path, suffix)
    _refuse_code(config)
    keras = _import_keras()
    is_old = written_by.split(".")[0] in {"1", "2"}
    try:
        model = _rebuilt(keras, path, suffix, config) if is_old else _loaded(keras, path, suffix)
    except BundleError:
        raise
    except Exception as error:  # Keras raises whatever its layers do
        raise BundleError(
            f"was written by Keras {written_by} and cannot be read by Keras {keras.__version__}: "
            f"{short(error)}. {_CONVERT}"
        ) from error
    verify_one_each(len(model.inputs), len(model.outputs), "keras.Model(model.inputs, model.outputs[K])")
    verify_columns(tuple(model.outputs[0].shape))
    layout, chosen = image_layout(tuple(model.inputs[0].shape), size)
    content = exported(_plain(model), (*chosen, 3) if layout == "nhwc" else (3, *chosen))
    return ForeignModel(
        onnx.load_from_string(content),
        ((lambda image: _answer(model, image), TOLERANCE),),
        tuple(sorted({name for name in _class_names(config) if name in _SCALERS})),
        (f"it was rebuilt in Keras 3; Keras {written_by} wrote it",) if is_old else (),
    )


def _loaded(keras: Any, path: Path, suffix: str) -> Any:  # noqa: ANN401 (a module and a model without types)
    """Return the model of a file of Keras 3."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, f"model{suffix}")  # Keras takes the format from the name
        shutil.copyfile(path, copy)
        return keras.saving.load_model(copy, compile=False, safe_mode=True)


def _rebuilt(keras: Any, path: Path, suffix: str, config: Any) -> Any:  # noqa: ANN401 (the same, and JSON)
    """Return the model of a file of Keras 1 or 2."""
    import h5py  # noqa: PLC0415 (comes with Keras)

    model = build_model(keras, config)
    if suffix == ".h5":
        with h5py.File(path) as file:
            fill(model, _arrays_by_name(file["model_weights"]))
        return model
    with zipfile.ZipFile(path) as archive, h5py.File(io.BytesIO(archive.read("model.weights.h5"))) as file:
        verify_arrays(file)
        fill(model, _arrays_by_place(file, config))
    return model


def _arrays_by_name(group: Any) -> LayerArrays:  # noqa: ANN401
    """Return the arrays of a `.h5` file by the name of their layer."""
    found: dict[str, list[Any]] = {}
    for outer in map(as_text, group.attrs["layer_names"]):
        for layer, arrays in arrays_of(group[outer]).items():
            found.setdefault(layer, []).extend(arrays)
    return found


def arrays_of(group: Any) -> dict[str, list[np.ndarray[Any, Any]]]:  # noqa: ANN401
    """Return the arrays of a layer of Keras 1 or 2, by the name of the layer inside it that has them.

    An array has the name layer/kernel:0.
    """
    found: dict[str, list[np.ndarray[Any, Any]]] = {}
    for name in map(as_text, group.attrs["weight_names"]):
        found.setdefault(name.rpartition("/")[0], []).append(np.asarray(group[name]))
    return found


def _arrays_by_place(group: Any, config: Any) -> LayerArrays:  # noqa: ANN401
    """Return the arrays of a `.keras` file by the name of their layer.

    The file has a place for each layer, with the name of its class and a number.
    """
    found: dict[str, list[Any]] = {}
    counts: Counter[str] = Counter()
    for layer in config["config"]["layers"]:
        kind = _SMALL.sub(r"\1_\2", _CAPITALS.sub(r"\1_\2", layer["class_name"])).lower()
        place = group["layers"].get(f"{kind}_{counts[kind]}" if counts[kind] else kind)
        counts[kind] += 1
        if place is None:
            continue
        if "layers" in layer["config"]:
            found |= _arrays_by_place(place, layer)
        elif arrays := [np.asarray(place["vars"][key]) for key in sorted(place["vars"], key=int)]:
            found[layer["config"]["name"]] = arrays
    return found


def _import_keras() -> Any:  # noqa: ANN401 (a module without types)
    os.environ.setdefault("KERAS_BACKEND", "torch")
    keras = import_extra("keras")  # takes seconds
    if (backend := keras.backend.backend()) != "torch":
        raise BundleError(f"needs Keras with the backend torch, but KERAS_BACKEND is {backend}. Unset it")
    return keras


def _answer(model: Any, image: Float32s) -> Float32s:  # noqa: ANN401
    import torch  # noqa: PLC0415 (comes with the same extra)

    with torch.inference_mode():
        return np.asarray(model(torch.from_numpy(image), training=False).float().numpy(), np.float32)


def exported(model: Any, shape: tuple[int, ...]) -> bytes:  # noqa: ANN401 (a module of PyTorch, which is an extra)
    """Return a PyTorch module with one input and one output as ONNX, for any number of images.

    Args:
        shape: Shape of one image.

    Raises:
        BundleError: If PyTorch cannot write it.
    """
    import torch  # noqa: PLC0415 (comes with the same extra)

    try:
        program = torch.onnx.export(
            model.eval(),
            (torch.zeros(2, *shape),),
            input_names=["input"],
            output_names=["output"],
            dynamic_shapes=({0: torch.export.Dim("N", min=1, max=65_535)},),
            dynamo=True,
            verbose=False,
        )
    except Exception as error:  # the exporter raises whatever its passes do
        raise BundleError(f"PyTorch cannot write it as ONNX: {short(error)}. {_CONVERT}") from error
    if program is None:
        raise BundleError(f"PyTorch gave no ONNX graph. {_CONVERT}")
    return bytes(program.model_proto.SerializeToString())


def _plain(model: Any) -> Any:  # noqa: ANN401
    """Return a Keras model as a module with one argument: the exporter cannot name those of a Keras layer."""
    import torch  # noqa: PLC0415 (comes with the same extra)

    class Plain(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model.eval()

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            answer: torch.Tensor = self.model(images, training=False)
            return answer

    return Plain()


def _refuse_code(config: Any) -> None:  # noqa: ANN401
    found = {name for name in _class_names(config) if name in _CODE_CARRIERS}
    if found:
        raise BundleError(
            f"has a {' and a '.join(sorted(found))} layer, which contains code. Such code is never run. "
            "Replace the layer by one of Keras, or export the model as ONNX where you trust it"
        )


def _architecture(path: Path, suffix: str) -> tuple[Any, str]:
    """Return the configuration of a model, and the version of Keras that wrote it."""
    try:
        if suffix == ".keras":
            with zipfile.ZipFile(path) as archive:
                _verify_members(archive)
                metadata = json.loads(archive.read("metadata.json"))
                return json.loads(archive.read("config.json")), str(metadata.get("keras_version", "2"))
        with import_extra("h5py").File(path) as file:
            verify_arrays(file)
            return json.loads(file.attrs["model_config"]), as_text(file.attrs.get("keras_version", "1"))
    except KeyError as error:
        raise BundleError(
            "holds weights without an architecture. Load them in Keras into the network that they belong to, "
            "and save the whole model; or pass --recipe with the recipe that has its layers, such as seed-cnn"
        ) from error
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise BundleError(f"cannot be read as a Keras model: {short(error)}") from error


def _verify_members(archive: zipfile.ZipFile) -> None:
    """Refuse an archive whose members are far larger than those of a model, without unpacking them."""
    members = archive.infolist()
    for member in members:
        if member.filename.endswith(".json") and member.file_size > _MAX_TEXT:
            raise BundleError(
                f"contains {member.filename} of {member.file_size >> 20} MB; expected at most "
                f"{_MAX_TEXT >> 20} MB"
            )
    _verify_total(sum(member.file_size for member in members))


def verify_arrays(file: Any) -> None:  # noqa: ANN401
    """Refuse a file whose arrays are far larger than those of a model once they are unpacked."""
    sizes: list[int] = []
    file.visititems(lambda _, item: sizes.append(getattr(item, "nbytes", 0)))
    _verify_total(sum(sizes))


def _verify_total(size: int) -> None:
    if size > MAX_BYTES:
        raise BundleError(
            f"has {size >> 20} MB after unpacking; expected at most {MAX_BYTES >> 20} MB, the most that a "
            "bundle may have"
        )


def as_text(value: Any) -> str:  # noqa: ANN401
    """Return a text of an HDF5 file; older files hold bytes."""
    return value.decode() if isinstance(value, bytes) else str(value)


def _class_names(value: Any) -> Iterator[str]:  # noqa: ANN401 (any JSON value)
    if isinstance(value, dict):
        if isinstance(value.get("class_name"), str):
            yield value["class_name"]
        for inner in value.values():
            yield from _class_names(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _class_names(inner)
