"""Keras weights without layers, put into the network of a recipe; the zoo holds whole files."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lesionwise import load_model
from lesionwise.errors import BundleError

pytest.importorskip("onnx")
pytest.importorskip("h5py", reason="the extra [keras] is not installed")
import h5py

from export.test_zoo import NOTES, ZOO, answers_of, conventions_of, pictures
from lesionwise.export.foreign import import_model

NAME = "tf2-weights-seed-cnn.h5"
CONVENTIONS = conventions_of(NOTES[NAME])
Rename = Callable[[str], str]


def nested(path: Path, *, rename: Rename = str, first: str = "") -> Path:
    """The file of the zoo as a model inside another; `first` stands first, as the one that was not frozen."""
    with h5py.File(ZOO / NAME) as file, h5py.File(path, "w") as made:
        arrays: dict[str, Any] = {}
        for layer in file.attrs["layer_names"]:
            for name in file[layer].attrs["weight_names"]:
                layer_name, _, array = str(name).rpartition("/")
                arrays[f"{rename(layer_name)}/{array}"] = np.asarray(file[layer][name])
        group = made.create_group("inner")
        made.attrs["layer_names"] = ["inner"]
        group.attrs["weight_names"] = sorted(arrays, key=lambda name: not name.startswith(f"{first}/"))
        for name, values in arrays.items():
            group[name] = values
    return path


def test_layers_that_stand_in_another_order_because_some_were_frozen_find_their_places(
    tmp_path: Path,
) -> None:
    path, out = nested(tmp_path / "weights.h5", first="conv2d_30"), tmp_path / "out.onnx"
    with h5py.File(path) as file:
        assert file["inner"].attrs["weight_names"][0].startswith("conv2d_30/")
    made = import_model(path, out, CONVENTIONS, name="theirs")
    assert made.changes == (
        "its layers are those of seed-cnn, with a softmax, because its file holds only weights",
    )
    found = load_model(out, threads=1).predict(list(pictures(8, 12))).probabilities
    assert np.abs(found - answers_of(NOTES[NAME])).max() < 1e-4


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"size": (16, 12)},
            r"has arrays of \(384, 128\) and \(128,\) in its layer dense.* at 16x12 pixels has \(768, 128",
        ),
        ({"recipe": "seed-cnn-256"}, "holds the weights of 6 layers, but seed-cnn-256 at 8x12 pixels"),
        ({"recipe": "seed-mlp"}, "holds the weights of 6 layers, but seed-mlp at 8x12 pixels has 5"),
        ({"recipe": "best"}, 'expected --recipe to be one of seed-cnn, .* but got "best"'),
        ({"recipe": None}, "without an architecture.*pass --recipe"),
        ({"gives": "logits"}, "Pass --gives probabilities"),
    ],
)
def test_weights_of_other_layers_are_refused(changes: dict[str, Any], words: str, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=f"{NAME}: was not imported: .*{words}"):
        import_model(ZOO / NAME, tmp_path / "out.onnx", replace(CONVENTIONS, **changes), name="theirs")
    assert not (tmp_path / "out.onnx").exists()


def test_layers_whose_order_nobody_states_are_refused(tmp_path: Path) -> None:
    path = nested(tmp_path / "weights.h5", rename=lambda name: f"my_{name}")
    with pytest.raises(BundleError, match="does not state the place of its layer my_conv2d_30"):
        import_model(path, tmp_path / "out.onnx", CONVENTIONS, name="theirs")


@pytest.mark.parametrize("name", ["tf2-notebook.h5", "keras3.keras", "torch.onnx"])
def test_a_recipe_goes_with_weights_alone(name: str, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="Leave --recipe out"):
        import_model(ZOO / name, tmp_path / "out.onnx", CONVENTIONS, name="theirs")
