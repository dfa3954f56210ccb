"""The kind of a model file, read from its first bytes and not from its name.

Here: recognising the files that people bring, and advice for the kinds that cannot be imported. Nothing is
unpickled or run. Not here: reading the files (`onnx_model`, `keras_model`).
"""

import zipfile
from pathlib import Path
from typing import Final, Literal, NoReturn

from lesionwise.bundle import wire
from lesionwise.bundle.load import MAX_BYTES
from lesionwise.errors import BundleError

Kind = Literal["onnx", "keras zip", "hdf5"]

_CONVERT: Final = '"python -m tf2onnx.convert --saved-model FOLDER --opset 17 --output model.onnx"'
_FOLDERS: Final = {
    "saved_model.pb": f"is a SavedModel of TensorFlow. Convert it with tf2onnx, at opset 17: {_CONVERT}",
    "Manifest.json": "is a Core ML package. Export the model that it was converted from as ONNX",
    "model.safetensors": "is the folder of a transformers model. Export it as ONNX with optimum: "
    '"optimum-cli export onnx --model FOLDER OUT"',
}
_WEB_PAGE: Final = "is a web page that was saved in place of the model. Download the model again"
_ARCHIVE: Final = "is a compressed archive. Unpack it, and import the model inside"
_PICKLE: Final = (
    "is a pickle, as PyTorch and joblib write it. Opening one can run any code, so it is not opened. Load it "
    "where you trust it, and export the network: torch.onnx.export(model.eval(), torch.zeros(1, 3, H, W), "
    '"model.onnx")'
)
_IN_ZIP: Final = {  # ends of names inside
    "data.pkl": _PICKLE,
    "constants.pkl": _PICKLE,
    "saved_model.pb": "is a zip with a SavedModel of TensorFlow. Unpack it, and convert it with tf2onnx: "
    f"{_CONVERT}",
    ".npy": "holds arrays of NumPy without a network. Load them into the network that they belong to, and "
    "save the whole model",
}
_STARTS: Final = {
    b"\x80": _PICKLE,
    b"version https://git-lfs": "is a pointer of Git LFS, not the model itself. Fetch the model with "
    '"git lfs pull"',
    **dict.fromkeys((b"<!doctype", b"<html"), _WEB_PAGE),
    b"<?xml": "is an XML file, as OpenVINO writes beside its weights. Import the ONNX file that it was made "
    "from",
    **dict.fromkeys((b"\x1f\x8b", b"7z\xbc\xaf", b"Rar!"), _ARCHIVE),
    b"\x93NUMPY": _IN_ZIP[".npy"],
    b"{": "is a JSON file: an architecture without weights. Load both in Keras (model_from_json, "
    "load_weights), and save the whole model",
}
_FROZEN: Final = (
    "is a frozen graph of TensorFlow. Convert it with tf2onnx: "
    '"python -m tf2onnx.convert --graphdef FILE --inputs NAME:0 --outputs NAME:0 --opset 17 '
    '--output model.onnx"'
)
_TFLITE: Final = (
    "is a TensorFlow Lite model. Convert it with tf2onnx: "
    '"python -m tf2onnx.convert --tflite FILE --opset 17 --output model.onnx"'
)
_SAFETENSORS: Final = (
    "is a safetensors file: weights without a network. Load them into the network that they belong to, and "
    "export that as ONNX"
)
_CHECKPOINT: Final = (
    "is a checkpoint of TensorFlow: weights without a network. Load it into the network that it belongs to, "
    "and save the whole model"
)
_NONE: Final = "is neither an ONNX file nor a Keras model (.keras, .h5), or it is damaged"
_GRAPH: Final = 7  # of ModelProto


def file_kind(path: Path) -> Kind:
    """Return the kind of a file that can be imported.

    Args:
        path: The file, or a folder that somebody takes for a model.

    Raises:
        BundleError: If it is missing, too large, or of another kind. The message gives advice and does not
            name the file.
    """
    if path.is_dir():
        _refuse_folder(path)
    if not path.is_file():
        raise BundleError("expected a model but there is no such file")
    if path.stat().st_size > MAX_BYTES:
        raise BundleError(f"is larger than {MAX_BYTES >> 20} MB, the most that a bundle may have")
    with path.open("rb") as file:
        start = file.read(64)
    if not start:
        raise BundleError("is empty. Copy or download it again")
    if start.startswith(b"PK\x03\x04"):
        return _kind_of_zip(path)
    if start.startswith(b"\x89HDF\r\n\x1a\n"):
        return "hdf5"
    if words := _foreign_words(path, start):
        raise BundleError(words)
    return _onnx_or_none(path)


def _foreign_words(path: Path, start: bytes) -> str | None:
    """Return advice for a file that is neither ONNX nor Keras; None if its kind is unknown."""
    if start[4:8] == b"TFL3":
        return _TFLITE
    if start[8:9] == b"{" and int.from_bytes(start[:8], "little") < path.stat().st_size:
        return _SAFETENSORS
    if path.name == "checkpoint" or path.suffix == ".index" or ".data-0" in path.name:
        return _CHECKPOINT
    words = start.lstrip(b"\t\n\r ").lower()
    return next((way for beginning, way in _STARTS.items() if words.startswith(beginning.lower())), None)


def _refuse_folder(path: Path) -> NoReturn:
    for name, words in _FOLDERS.items():
        if (path / name).is_file():
            raise BundleError(words)
    raise BundleError("is a folder. Name the model file in it")


def _kind_of_zip(path: Path) -> Kind:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except zipfile.BadZipFile as error:
        raise BundleError("is a damaged zip archive. Copy or download it again") from error
    if "config.json" in names:
        return "keras zip"
    for end, words in _IN_ZIP.items():
        if any(name.endswith(end) for name in names):
            raise BundleError(words)
    raise BundleError("is a zip archive. Unpack it, and import the model inside")


def _onnx_or_none(path: Path) -> Kind:
    """Return "onnx" for a protocol buffer with a graph where ONNX has it."""
    try:
        found = list(wire.fields(memoryview(path.read_bytes())))
    except BundleError as error:
        raise BundleError(_NONE) from error
    fields, first = {number for number, _ in found}, found[0][1]
    if _GRAPH in fields:
        return "onnx"
    if isinstance(first, memoryview) and fields <= {1, 2, 3, 4}:  # GraphDef: a node comes first
        raise BundleError(_FROZEN)
    if fields <= {1, 2}:  # SavedModel: version, graphs
        raise BundleError(_FOLDERS["saved_model.pb"].replace("is a", "is part of a", 1))
    raise BundleError(_NONE)
