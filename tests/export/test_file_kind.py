import json
import pickle
import zipfile
from pathlib import Path

import pytest

from lesionwise.errors import BundleError
from lesionwise.export.file_kind import file_kind


class Trap:
    """Something that leaves a trace where it is unpickled."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return Path.touch, (Path("trace"),)  # type: ignore[return-value] # called at unpickling


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (pickle.dumps({"a": 1}), "is a pickle.*torch.onnx.export"),
        (b'{"class_name": "Sequential"}', "an architecture without weights"),
        (b' \n{"class_name": "Sequential"}', "an architecture without weights"),
        (b"version https://git-lfs.github.com/spec/v1\noid", "git lfs pull"),
        (b"<!DOCTYPE html><html>", "a web page"),
        (b"\n<HTML><body>", "a web page"),
        (b"\x1f\x8b\x08\x00", "a compressed archive"),
        (b"\x93NUMPY\x01\x00", "arrays of NumPy"),
        (b"\x1c\x00\x00\x00TFL3\x14\x00", "TensorFlow Lite.*--tflite"),
        (b"\x02\x00\x00\x00\x00\x00\x00\x00{}", "safetensors file"),
        (b"\x0a\x04\x0a\x02ab", "frozen graph of TensorFlow.*--graphdef"),
        (b"\x08\x01\x12\x02\x0a\x00", "part of a SavedModel.*--saved-model"),
        (b"<?xml version='1.0'?><net>", "XML file"),
        (b"\x89PNG\r\n\x1a\n", "neither an ONNX file nor a Keras model"),
    ],
)
def test_each_kind_is_recognised_by_its_first_bytes_and_shown_the_way_on(
    tmp_path: Path, content: bytes, words: str
) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    with pytest.raises(BundleError, match=words):
        file_kind(path)


@pytest.mark.parametrize(
    ("member", "words"),
    [
        ("archive/data.pkl", "is a pickle"),
        ("archive/constants.pkl", "is a pickle"),
        ("model/saved_model.pb", "zip with a SavedModel"),
        ("arr_0.npy", "arrays of NumPy"),
        ("model.h5", "is a zip archive. Unpack it"),
    ],
)
def test_a_zip_is_recognised_by_what_is_in_it(tmp_path: Path, member: str, words: str) -> None:
    path = tmp_path / "model.h5"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(member, b"")
    with pytest.raises(BundleError, match=words):
        file_kind(path)


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    path = tmp_path / "model.pth"
    path.write_bytes(pickle.dumps(Trap()))
    with pytest.raises(BundleError, match="can run any code, so it is not opened"):
        file_kind(path)
    assert not Path("trace").exists()


def test_folders_are_recognised_by_what_is_in_them(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"is a folder\. Name the model file"):
        file_kind(tmp_path)
    (tmp_path / "saved_model.pb").touch()
    with pytest.raises(BundleError, match="is a SavedModel of TensorFlow"):
        file_kind(tmp_path)


def test_keras_files_are_recognised_whatever_they_are_called(tmp_path: Path) -> None:
    path = tmp_path / "model.h5"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", json.dumps({}))
    assert file_kind(path) == "keras zip"
    path.write_bytes(b"\x89HDF\r\n\x1a\n")
    assert file_kind(path.rename(tmp_path / "model.keras")) == "hdf5"
