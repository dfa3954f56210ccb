"""Eight bits: the same file otherwise, near the same answers, the same on every runtime."""

import sys
from collections import Counter

import numpy as np
import pytest

from bundle.conftest import MakeBundle
from bundle.small_model import SIZE, images
from bundle.test_load import fuzz
from lesionwise.bundle.engine import Engine
from lesionwise.bundle.load import Bundle
from lesionwise.errors import BundleError, MissingExtraError
from lesionwise.export.graph import BundleGraph, Exported, Member, Whole, to_onnx
from lesionwise.export.precision import to_int8
from lesionwise.models.registry import create_model

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")


@pytest.fixture(scope="module")
def content(exported: Exported) -> bytes:
    """The small graph with its convolutions in eight bits."""
    pixels = images(40)
    return to_int8(exported.content, [{"image": pixels[:32]}, {"image": pixels[32:]}])


@pytest.fixture
def bundle(make_bundle: MakeBundle, content: bytes) -> Bundle:
    return make_bundle(content, precision="int8")


def test_it_is_one_smaller_file_that_takes_and_gives_the_same(
    bundle: Bundle, make_bundle: MakeBundle
) -> None:
    full = make_bundle()
    assert len(bundle.content) < 0.5 * len(full.content)
    assert bundle.description.outputs == full.description.outputs
    found = Engine(bundle, threads=1).run(images(3))
    expected = Engine(full, threads=1).run(images(3))
    assert {name: values.shape for name, values in found.items()} == {
        name: values.shape for name, values in expected.items()
    }


@pytest.mark.parametrize("runtime", ["openvino", "onnxruntime"])
def test_its_answers_are_near_those_of_fp32(bundle: Bundle, make_bundle: MakeBundle, runtime: str) -> None:
    pixels = images(32)
    found = Engine(bundle, runtime=runtime, threads=1).run(pixels)  # type: ignore[arg-type]
    expected = Engine(make_bundle(), threads=1).run(pixels)
    for name in ("logits", "embedding", "cam"):
        off = np.abs(found[name] - expected[name])
        assert 0 < off.mean() < 0.1 * expected[name].std(), name


def test_only_convolutions_behind_the_first_have_integers_and_those_seven_bits(content: bytes) -> None:
    model = onnx.load_from_string(content)
    values = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    sources = {node.output[0]: node for node in model.graph.node}
    kinds: Counter[str] = Counter()
    for node in model.graph.node:
        if node.op_type == "Conv" and ".features." in node.input[1]:
            source = sources.get(node.input[1])
            kinds["float" if source is None else source.op_type] += 1
            if source is None:
                assert values[node.input[1]].shape[1] == 3
            else:
                weights, scales = values[source.input[0]], values[source.input[1]]
                assert weights.dtype == np.int8
                assert np.abs(weights.astype(int)).max() <= 64
                assert scales.shape == (len(weights),)
    assert kinds["float"] == 1
    assert kinds["DequantizeLinear"] > 20
    heads = [node for node in model.graph.node if any(".head." in name for name in node.input)]
    assert heads
    assert not [node for node in heads if node.op_type == "DequantizeLinear"]


def test_it_names_neither_a_file_nor_the_quantiser(content: bytes) -> None:
    model = onnx.load_from_string(content)
    assert model.producer_name == "lesionwise"
    assert not model.metadata_props
    assert {node.domain for node in model.graph.node} == {""}


def test_a_model_without_such_convolutions_is_refused() -> None:
    network = create_model("seed-mlp", num_classes=7, image_size=SIZE, drop_rate=0.0)
    flat = to_onnx(BundleGraph([Member(network, Whole())], None).eval(), SIZE)
    with pytest.raises(BundleError, match="int8 is for convolutions, and this model has none behind its fir"):
        to_int8(flat.content, [{"image": images(2)}])


def test_without_the_quantiser_the_line_that_installs_it_is_printed(
    exported: Exported, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingExtraError, match=r'pip install "lesionwise\[onnxruntime\]"'):
        to_int8(exported.content, [])


def test_bits_that_stand_in_the_file_cannot_be_asked_for_or_away(
    bundle: Bundle, make_bundle: MakeBundle
) -> None:
    assert Engine(bundle, threads=1).precision == "int8"
    for wished in ("fp32", "bf16"):
        with pytest.raises(BundleError, match=f"is made for int8 and cannot be run in {wished}"):
            Engine(bundle, precision=wished)
    with pytest.raises(
        BundleError, match=r'made for fp32 and cannot.*"lesionwise bundle export RUN --precision int8"'
    ):
        Engine(make_bundle(), precision="int8")


@pytest.mark.slow
def test_mutants_of_it_neither_crash_nor_hang(bundle: Bundle) -> None:
    assert fuzz(bundle.path, "as is", 100) == {"refused": 100}
    found = fuzz(bundle.path, "resealed", 100)
    assert sum(found.values()) == 100
    assert set(found) == {"refused", "not built", "ran"}
