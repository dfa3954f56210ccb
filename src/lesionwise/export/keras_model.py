"""Keras files (`.keras`, `.h5`) as ONNX, through Keras 3 on its torch backend.

Here: reading them without running what they bring along, and converting. Not here: what must be stated about
a model (`foreign`).
"""

import json
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from lesionwise.errors import BundleError, MissingExtraError

SUFFIXES: Final = (".keras", ".h5", ".hdf5")
_CODE_CARRIERS: Final = ("Lambda", "TFSMLayer")  # they hold or fetch code


def keras_to_onnx(path: Path) -> bytes:
    """Return a Keras model as an ONNX file.

    Args:
        path: A whole model, with its architecture.

    Raises:
        BundleError: If it cannot be read, or brings code of its own; the message does not name it.
    """
    _refuse_code(path)
    os.environ.setdefault("KERAS_BACKEND", "torch")
    try:
        import keras  # noqa: PLC0415 (seconds, and an extra)
    except ModuleNotFoundError as error:
        raise MissingExtraError("keras", error.name or "keras") from error
    if keras.backend.backend() != "torch":
        raise BundleError(f"needs Keras on torch, but KERAS_BACKEND is {keras.backend.backend()}")
    import torch  # noqa: PLC0415 (comes with the same extra)

    try:
        model = keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # Keras raises whatever its layers do
        raise BundleError(f"Keras cannot read it: {error}") from error
    height, width, channels = model.input_shape[1:]
    trial = torch.zeros(2, height or 64, width or 64, channels)

    class Plain(torch.nn.Module):
        """The model with one argument: the exporter cannot name those of a Keras layer."""

        def __init__(self) -> None:
            super().__init__()
            self.model = model.eval()

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            answer: torch.Tensor = self.model(images, training=False)
            return answer

    program = torch.onnx.export(
        Plain().eval(),
        (trial,),
        input_names=["input"],
        output_names=["output"],
        dynamic_shapes=({0: torch.export.Dim("N", min=1, max=65_535)},),
        dynamo=True,
        verbose=False,
    )
    if program is None:
        raise BundleError("PyTorch gave no ONNX graph")
    return bytes(program.model_proto.SerializeToString())


def _refuse_code(path: Path) -> None:
    found = {name for name in _class_names(_architecture(path)) if name in _CODE_CARRIERS}
    if found:
        raise BundleError(
            f"has a {' and a '.join(sorted(found))} layer, which brings code of its own; that is not run. "
            "Replace it by a layer of Keras, or export the model as ONNX where you trust it"
        )


def _architecture(path: Path) -> Any:  # noqa: ANN401 (any JSON value)
    try:
        if path.suffix.lower() == ".keras":  # by the name, as Keras does: a file can be both
            with zipfile.ZipFile(path) as archive:
                return json.loads(archive.read("config.json"))
        import h5py  # noqa: PLC0415 (comes with Keras)

        with h5py.File(path) as file:
            return json.loads(file.attrs["model_config"])
    except ModuleNotFoundError as error:
        raise MissingExtraError("keras", "h5py") from error
    except KeyError as error:
        raise BundleError("holds weights without an architecture. Save the whole model") from error
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise BundleError(f"cannot be read as a Keras model: {error}") from error


def _class_names(value: Any) -> Iterator[str]:  # noqa: ANN401 (any JSON value)
    if isinstance(value, dict):
        if isinstance(value.get("class_name"), str):
            yield value["class_name"]
        for inner in value.values():
            yield from _class_names(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _class_names(inner)
