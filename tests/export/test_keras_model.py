"""Limits of Keras files; the zoo holds whole files."""

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from lesionwise.errors import BundleError

pytest.importorskip("onnx")
from lesionwise.export import keras_model


def archive_of(folder: Path, **members: int) -> Path:
    """A .keras file whose members unpack to a number of megabytes each."""
    path = folder / "model.keras"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("metadata", "config"):
            text = json.dumps({"keras_version": "2.15.0"})
            archive.writestr(f"{name}.json", text + " " * (members.get(name, 0) << 20))
        archive.writestr("model.weights.h5", bytes(members.get("weights", 0) << 20))
    return path


@pytest.mark.parametrize("name", ["metadata", "config"])
def test_a_small_archive_whose_text_unpacks_to_much_is_refused(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keras_model, "_MAX_TEXT", 1 << 20, raising=False)
    path = archive_of(tmp_path, **{name: 2})
    assert path.stat().st_size < 1 << 16
    with pytest.raises(BundleError, match=rf"contains {name}\.json of 2 MB; expected at most 1 MB"):
        keras_model.read_keras(path, None)


def test_a_small_archive_whose_weights_unpack_to_much_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keras_model, "MAX_BYTES", 1 << 20, raising=False)
    with pytest.raises(BundleError, match="has 3 MB after unpacking; expected at most 1 MB"):
        keras_model.read_keras(archive_of(tmp_path, weights=3), None)


def test_arrays_that_unpack_to_much_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    h5py = pytest.importorskip("h5py", reason="the extra [keras] is not installed")
    monkeypatch.setattr(keras_model, "MAX_BYTES", 1 << 20, raising=False)
    path = tmp_path / "model.h5"
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = "{}"
        file.create_group("layer").create_dataset("kernel", data=np.zeros(1 << 19), compression="gzip")
    assert path.stat().st_size < 1 << 16
    with pytest.raises(BundleError, match="has 4 MB after unpacking"):
        keras_model.read_keras(path, None)
