"""Eight bits: the same file, rounded as it is loaded; near the same answers."""

import numpy as np
import pytest

from bundle.conftest import MakeBundle
from bundle.small_model import SIZE, images
from lesionwise.bundle.engine import Engine
from lesionwise.bundle.int8 import find_convolutions, round_convolutions
from lesionwise.bundle.precision import has_instructions
from lesionwise.bundle.runtimes import import_openvino
from lesionwise.errors import BundleError
from lesionwise.export.graph import BundleGraph, Exported, Member, Whole, to_onnx
from lesionwise.export.precision import in_half, measure_ranges
from lesionwise.models.registry import create_model

needs_vnni = pytest.mark.skipif(not has_instructions("int8"), reason="this processor has no VNNI")


class Noise:
    """Images that the ranges are measured on."""

    def batches(self, most: int | None = None) -> list[tuple[np.ndarray, None]]:
        assert most
        return [(images(32), None), (images(40)[32:], None)]


@pytest.fixture(scope="module")
def ranges(exported: Exported) -> dict[str, tuple[float, float]]:
    return measure_ranges(exported.content, Noise())  # type: ignore[arg-type]


def test_all_convolutions_but_the_first_have_a_range_that_holds_their_inputs(
    exported: Exported, ranges: dict[str, tuple[float, float]]
) -> None:
    assert len(ranges) > 5
    assert all(".network.features." in name for name in ranges)
    assert all(low < high for low, high in ranges.values())
    core = import_openvino().Core()
    model = core.read_model(exported.content)
    layers = find_convolutions(model)
    assert list(layers) == list(ranges)
    name = list(layers)[2]
    outputs = len(model.outputs)
    model.add_outputs(layers[name].input_value(0))
    seen = core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})({"image": images(40)})[
        outputs
    ]
    assert ranges[name] == pytest.approx((seen.min(), seen.max()), rel=1e-4, abs=1e-4)


def test_weights_and_inputs_are_rounded_and_nothing_else(
    exported: Exported, ranges: dict[str, tuple[float, float]]
) -> None:
    model = import_openvino().Core().read_model(exported.content)
    round_convolutions(model, ranges)
    kinds = [layer.get_type_name() for layer in model.get_ordered_ops()]
    assert kinds.count("FakeQuantize") == 2 * len(ranges)


def test_convolutions_whose_weights_are_stored_in_fp16_are_rounded_too(exported: Exported) -> None:
    core = import_openvino().Core()
    full, half = (core.read_model(content) for content in (exported.content, in_half(exported.content)))
    names = list(find_convolutions(half))
    assert any(name.endswith(".half") for name in names)
    assert [name.removesuffix(".half") for name in names] == list(find_convolutions(full))
    round_convolutions(half, dict.fromkeys(names, (0.0, 1.0)))
    kinds = [layer.get_type_name() for layer in half.get_ordered_ops()]
    assert kinds.count("FakeQuantize") == 2 * len(names)


@needs_vnni
def test_answers_are_near_those_of_fp32_and_not_the_same(
    make_bundle: MakeBundle, ranges: dict[str, tuple[float, float]]
) -> None:
    bundle = make_bundle(int8_ranges=ranges)
    pixels = images(32)
    low, full = (Engine(bundle, threads=1, precision=name) for name in ("int8", "fp32"))
    found, expected = low.run(pixels), full.run(pixels)
    for name in ("logits", "embedding", "cam"):
        off = np.abs(found[name] - expected[name])
        assert 0 < off.mean() < 0.1 * expected[name].std(), name


def test_a_range_that_is_empty_is_refused(make_bundle: MakeBundle) -> None:
    with pytest.raises(ValueError, match="Expected the least value of a range before the greatest"):
        make_bundle(int8_ranges={"a": (1.0, 1.0)})


def test_a_bundle_without_ranges_cannot_be_computed_so(make_bundle: MakeBundle) -> None:
    with pytest.raises(
        BundleError, match=r'computed in fp32 or bf16, and not in int8.*"lesionwise bundle export RUN --prec'
    ):
        Engine(make_bundle(), precision="int8")


def test_a_model_without_such_convolutions_has_no_ranges() -> None:
    network = create_model("seed-mlp", num_classes=7, image_size=SIZE, drop_rate=0.0)
    flat = to_onnx(BundleGraph([Member(network, Whole())], None).eval(), SIZE)
    assert measure_ranges(flat.content, Noise()) == {}  # type: ignore[arg-type]
