"""How fast a bundle is here: every way is measured, and each is compared with fp32."""

from importlib.util import find_spec
from time import sleep

import numpy as np
import pytest

from bundle.conftest import MakeBundle
from bundle.small_model import describe, images
from bundle.test_int8 import Noise
from lesionwise.bundle import benchmark
from lesionwise.bundle.benchmark import BATCHES, Pace, draw_images, measure_paces
from lesionwise.bundle.precision import has_instructions
from lesionwise.export.graph import Exported
from lesionwise.export.precision import measure_ranges


@pytest.fixture
def paces(exported: Exported, make_bundle: MakeBundle) -> list[Pace]:
    ranges = measure_ranges(exported.content, Noise())  # type: ignore[arg-type]
    return measure_paces(make_bundle(int8_ranges=ranges), images(20), seconds=0.03)


def test_each_precision_that_the_processor_has_is_measured_in_each_batch(paces: list[Pace]) -> None:
    expected = {"fp32", *(name for name in ("bf16", "int8") if has_instructions(name))}
    found = {pace.precision for pace in paces if pace.runtime == "openvino"}
    assert found == expected
    for name in expected:
        assert {pace.batch for pace in paces if pace.precision == name} == set(BATCHES)
    assert all(pace.images_per_s > 0 for pace in paces)
    peers = {
        runtime
        for runtime, module in (("onnxruntime", "onnxruntime"), ("opencv", "cv2"))
        if find_spec(module)
    }
    assert {pace.runtime for pace in paces} - {"openvino"} <= peers


def test_fp32_comes_first_and_changes_nothing_while_fewer_bits_do(paces: list[Pace]) -> None:
    assert (paces[0].runtime, paces[0].precision) == ("openvino", "fp32")
    for pace in paces:
        assert 0 <= pace.changed <= 1
        if pace.precision == "fp32":
            assert pace.largest_difference < 1e-4
            assert pace.changed == 0
        else:
            assert pace.largest_difference > 1e-4


def test_a_slow_way_is_reported_as_slow(make_bundle: MakeBundle, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = np.full((1, 7), 1 / 7, np.float32)

    def two_ways(_: object) -> list[benchmark.Way]:
        def slow(batch: np.ndarray) -> np.ndarray:
            sleep(0.02)
            return answer.repeat(len(batch), 0)

        def quick(batch: np.ndarray) -> np.ndarray:
            sleep(0.002)
            return np.eye(7, dtype=np.float32)[[3] * len(batch)]

        return [benchmark.Way("a", "fp32", 1, slow), benchmark.Way("b", "fp32", 1, quick)]

    monkeypatch.setattr(benchmark, "_ways", two_ways)
    slow, quick = (
        next(pace for pace in measure_paces(make_bundle(), images(4), seconds=0.1) if pace.runtime == name)
        for name in "ab"
    )
    assert slow.images_per_s <= 50
    assert quick.images_per_s > 2 * slow.images_per_s
    assert (slow.changed, quick.changed) == (0, 1)
    assert quick.largest_difference == pytest.approx(6 / 7)


def test_drawn_images_are_the_same_each_time_and_of_the_size_that_is_asked_for() -> None:
    size = describe().input.size
    found = draw_images(size, 3)
    assert found.shape == (3, *size, 3)
    assert (found == draw_images(size, 3)).all()
    assert not (found[0] == found[1]).all()
