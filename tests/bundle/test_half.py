"""Weights in sixteen bits: half the file, nearly the same answers, on every runtime."""

from pathlib import Path

import numpy as np
import pytest

from bundle.conftest import MakeBundle
from bundle.small_model import images
from conftest import Lesionwise, make_recipe
from lesionwise.bundle.engine import Engine
from lesionwise.bundle.export import Exported
from lesionwise.bundle.half import in_half
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


def test_only_large_weights_that_fit_are_stored_so() -> None:
    helper = onnx.helper
    large, tiny = np.full(4096, 1e6, np.float32), np.ones(8, np.float32)
    weights = [
        onnx.numpy_helper.from_array(array, name)
        for name, array in (("large", large), ("tiny", tiny), ("usual", np.linspace(-1, 1, 4096, dtype="f4")))
    ]
    port = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node("Add", ["large", "usual"], ["sum"]), helper.make_node("Identity", ["tiny"], ["t"])],
        "g",
        [],
        [port("sum", 1, [4096]), port("t", 1, [8])],
        initializer=weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    half = onnx.load_from_string(in_half(model.SerializeToString()))
    assert {w.name: w.data_type for w in half.graph.initializer} == {"large": 1, "tiny": 1, "usual.half": 10}
    usual = next(w for w in half.graph.initializer if w.name == "usual.half")
    assert np.array_equal(
        onnx.numpy_helper.to_array(usual), np.linspace(-1, 1, 4096, dtype="f4").astype("f2")
    )


def test_a_run_is_exported_so(drawn_folder: Path, tmp_path: Path, lesionwise: Lesionwise) -> None:
    run = train(make_recipe(epochs=1), drawn_folder, out=tmp_path / "run")
    for name, options in (("full", []), ("half", ["--half"])):
        ended = lesionwise("export", run.path, "--out", tmp_path / f"{name}.onnx", *options)
        assert ended.code == 0, ended.err
    sizes = [(tmp_path / f"{name}.onnx").stat().st_size for name in ("full", "half")]
    assert sizes[1] < 0.8 * sizes[0]
    ended = lesionwise("export", run.path, "--half", "--precision", "int8", "--out", tmp_path / "no.onnx")
    assert ended.code == 2
    assert "Leave --half out" in ended.err
