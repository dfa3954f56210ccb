"""Weights in sixteen bits: little more than half the file, nearly the same answers, on every runtime."""

from pathlib import Path

import numpy as np
import pytest

from bundle.conftest import MakeBundle
from bundle.small_model import images
from conftest import Lesionwise, make_recipe
from lesionwise.bundle.engine import Engine
from lesionwise.bundle.load import SHIPPED, read_bundle
from lesionwise.bundle.precision import FASTEST_FIRST, computable_precisions
from lesionwise.errors import BundleError
from lesionwise.export.graph import Exported
from lesionwise.export.precision import in_half
from lesionwise.training.run import train

onnx = pytest.importorskip("onnx")


@pytest.mark.parametrize("runtime", ["openvino", "onnxruntime"])
def test_answers_are_nearly_the_same(exported: Exported, make_bundle: MakeBundle, runtime: str) -> None:
    if runtime == "onnxruntime":
        pytest.importorskip("onnxruntime")
    full, half = make_bundle(), make_bundle(in_half(exported.content))
    assert len(half.content) < 0.75 * len(full.content)
    pixels = images(16)
    expected = Engine(full, threads=1).run(pixels)
    found = Engine(half, runtime=runtime, threads=1).run(pixels)  # type: ignore[arg-type]
    off = np.abs(found["probabilities"] - expected["probabilities"]).max()
    assert 0 < off < 2e-3


def test_only_large_weights_of_networks_that_fit_are_stored_so() -> None:
    helper, numbers = onnx.helper, np.linspace(-1, 1, 4096, dtype="f4")
    arrays = {
        "m.network.usual": numbers,
        "m.network.large": np.full(4096, 1e6, np.float32),
        "m.network.tiny": np.ones(8, np.float32),
        "m.view.rows": numbers,
    }
    port = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node("Identity", [name], [f"out {name}"]) for name in arrays],
        "g",
        [],
        [port(f"out {name}", 1, list(array.shape)) for name, array in arrays.items()],
        initializer=[onnx.numpy_helper.from_array(array, name) for name, array in arrays.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    half = onnx.load_from_string(in_half(model.SerializeToString()))
    kinds = {weight.name: weight.data_type for weight in half.graph.initializer}
    assert kinds == {"m.network.usual.half": 10, "m.network.large": 1, "m.network.tiny": 1, "m.view.rows": 1}
    usual = next(weight for weight in half.graph.initializer if weight.name.endswith("half"))
    assert np.array_equal(onnx.numpy_helper.to_array(usual), numbers.astype("f2"))


def test_a_run_is_exported_so_and_what_changes_is_counted(
    drawn_folder: Path, tmp_path: Path, lesionwise: Lesionwise
) -> None:
    run = train(make_recipe(epochs=1), drawn_folder, out=tmp_path / "run")
    for precision in ("fp32", "fp16"):
        out = tmp_path / f"{precision}.onnx"
        ended = lesionwise("bundle", "export", run.path, "--out", out, "--precision", precision)
        assert ended.code == 0, ended.err
    assert "fp16 changes the decision, diagnosis or prediction set of" in ended.err
    full, half = (read_bundle(tmp_path / f"{precision}.onnx") for precision in ("fp32", "fp16"))
    assert len(half.content) < 0.8 * len(full.content)
    check = half.description.precision_check
    assert check
    assert 0 < check.largest_difference < 2e-3
    with pytest.raises(BundleError, match="and not in fp16"):
        Engine(full, precision="fp16")
    assert Engine(half).precision == "fp16"
    faster = {name for name in FASTEST_FIRST if name in computable_precisions(half.description)}
    assert set(half.description.precisions) == faster  # measured with the weights as they are stored
    for name in faster:
        assert Engine(half, precision=name).precision == name


def test_bundles_that_ship_have_names_and_a_file_goes_first(
    exported: Exported, make_bundle: MakeBundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "best").mkdir()  # as a run may be called
    for name in SHIPPED:
        assert read_bundle(name).path.name == f"{name}.onnx"
    assert read_bundle().sha256 == read_bundle("best").sha256
    (tmp_path / "best").rmdir()
    own = make_bundle(exported.content)
    (tmp_path / "best").write_bytes(own.content)
    assert read_bundle("best").content == own.content
