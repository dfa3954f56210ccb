"""Which number format a bundle is computed in: asked for, promised, and possible here."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from bundle.conftest import MakeBundle
from bundle.small_model import describe, images
from lesionwise.bundle import precision
from lesionwise.bundle.decide import distance_to_change
from lesionwise.bundle.description import Description, Precision, PrecisionCheck
from lesionwise.bundle.engine import Engine
from lesionwise.bundle.precision import (
    choose_precision,
    close_calls_again,
    has_instructions,
    keeps_promise,
    offered_precisions,
)
from lesionwise.bundle.runtimes import Arrays, Inputs, Runtime
from lesionwise.errors import BundleError

RANGES = {"weights": (0.0, 1.0)}


def check(changed: int = 0, change: float | None = 0.0, **others: float) -> PrecisionCheck:
    return PrecisionCheck.model_validate(
        {
            "images": 1000,
            "changed": changed,
            "largest_difference": 0.1,
            "top_changed": 0,
            "balanced_accuracy_change": change,
            **others,
        }
    )


def floats(values: list[list[float]]) -> NDArray[np.float32]:
    return np.array(values, np.float32)


GOOD, BAD = check(), check(87)
Processor = Callable[..., None]


@pytest.fixture
def processor_with(monkeypatch: pytest.MonkeyPatch) -> Processor:
    """A function that says what the processor has instructions for."""

    def install(*names: Precision) -> None:
        monkeypatch.setattr(precision, "has_instructions", lambda name: name in names)
        monkeypatch.setattr(precision, "has_amx", lambda: False)

    return install


@pytest.mark.parametrize("found", [check(), check(10, 0.002), check(10, -0.002)])
def test_one_answer_in_a_hundred_and_two_thousandths_may_change(found: PrecisionCheck) -> None:
    assert keeps_promise(found)


@pytest.mark.parametrize(
    "found",
    [check(11), check(0, 0.0021), check(0, -0.0021), check(0, None)],  # the last is of an older file
)
def test_more_breaks_the_promise(found: PrecisionCheck) -> None:
    assert not keeps_promise(found)


@pytest.mark.parametrize(
    ("checks", "has", "chosen"),
    [
        ({"bf16": GOOD, "int8": GOOD}, ("bf16", "int8"), "int8"),
        ({"bf16": GOOD, "int8": GOOD}, ("bf16",), "bf16"),
        ({"bf16": GOOD, "int8": BAD}, ("bf16", "int8"), "bf16"),
        ({"bf16": BAD, "int8": BAD}, ("bf16", "int8"), "fp32"),
        ({"bf16": GOOD, "int8": GOOD}, (), "fp32"),
        ({}, ("bf16", "int8"), "fp32"),
        ({"bf16": check(pace=1.4), "int8": check(pace=1.3)}, ("bf16", "int8"), "bf16"),
        ({"bf16": check(pace=1.4), "int8": check(pace=1.5)}, ("bf16", "int8"), "int8"),
        ({"bf16": check(pace=1.19), "int8": check(pace=0.8)}, ("bf16", "int8"), "fp32"),
        ({"bf16": check(pace=1.2), "int8": check(11, pace=3)}, ("bf16", "int8"), "bf16"),
    ],
)
def test_auto_is_the_fastest_that_keeps_the_promise_and_that_the_processor_has(
    processor_with: Processor, checks: dict[str, PrecisionCheck], has: tuple[Precision, ...], chosen: str
) -> None:
    processor_with(*has)
    description = describe(precisions=checks, int8_ranges=RANGES)
    assert choose_precision(description, "auto", "openvino") == chosen
    assert choose_precision(description, "auto", "onnxruntime") == "fp32"
    assert choose_precision(description, None, "openvino") == "fp32"


@pytest.mark.parametrize(
    ("checks", "chosen"),
    [({"bf16": check(pace=1.2), "int8": check(pace=1.5)}, "bf16"), ({"int8": check(pace=1.5)}, "fp32")],
)
def test_auto_does_not_choose_int8_where_amx_makes_bf16_faster(
    processor_with: Processor, monkeypatch: pytest.MonkeyPatch, checks: dict[str, PrecisionCheck], chosen: str
) -> None:
    processor_with("bf16", "int8")
    monkeypatch.setattr(precision, "has_amx", lambda: True)
    description = describe(precisions=checks, int8_ranges=RANGES)
    assert choose_precision(description, "auto", "openvino") == chosen
    assert choose_precision(description, "int8", "openvino") == "int8"


@pytest.mark.parametrize(
    ("wished", "runtime", "reason"),
    [
        ("int8", "onnxruntime", "computed in int8 only on OpenVINO, not on onnxruntime. Choose fp32"),
        ("bf16", "openvino", "cannot be computed in bf16 here: this processor has no instructions for it"),
        ("fp16", "openvino", "can be computed in fp32 or bf16 or int8, and not in fp16"),
    ],
)
def test_what_cannot_be_had_is_refused_and_never_replaced(
    processor_with: Processor, wished: Precision, runtime: Runtime, reason: str
) -> None:
    processor_with()
    with pytest.raises(BundleError, match=reason):
        choose_precision(describe(int8_ranges=RANGES), wished, runtime)


@pytest.mark.parametrize(
    ("description", "offered"),
    [
        (describe(), ("fp32", "bf16")),
        (describe(int8_ranges=RANGES), ("fp32", "bf16", "int8")),
        (describe(precision="bf16"), ("bf16", "fp32")),
        (describe(precision="fp16"), ("fp16", "fp32", "bf16")),
        (describe(precision="int8"), ("int8",)),  # an older file, whose graph has integers
    ],
)
def test_a_bundle_offers_what_its_graph_can(description: Description, offered: tuple[str, ...]) -> None:
    assert offered_precisions(description) == offered


def test_a_bundle_of_a_format_that_the_processor_lacks_is_computed_in_fp32(
    processor_with: Processor, make_bundle: MakeBundle
) -> None:
    processor_with()
    assert Engine(make_bundle(precision="bf16"), threads=1).precision == "fp32"
    assert Engine(make_bundle(precision="int8"), threads=1).precision == "int8"  # integers stay integers


def test_only_close_calls_are_computed_again_with_all_their_outputs() -> None:
    asked = []
    quick = {
        "probabilities": floats([[0.9, 0.1], [0.5, 0.5], [0.4, 0.6], [0.1, 0.9]]),
        "logits": np.zeros((4, 2), np.float32),
    }

    def exact(inputs: Inputs) -> Arrays:
        asked.append({name: values.tolist() for name, values in inputs.items()})
        return {
            "probabilities": floats([[0.7, 0.3], [0.8, 0.2]]),
            "logits": np.ones((2, 2), np.float32),
        }

    inputs: Inputs = {
        "image": np.arange(4, dtype=np.uint8),
        "metadata": np.arange(4, dtype=np.float32) * 10,
    }
    plain, margin = describe(calibration=None), np.log(0.6 / 0.4) + 1e-6
    run = close_calls_again(
        lambda _: {name: values.copy() for name, values in quick.items()}, exact, plain, margin
    )
    found = run(inputs)
    assert asked == [{"image": [1, 2], "metadata": [10, 20]}]
    assert np.array_equal(found["probabilities"], floats([[0.9, 0.1], [0.7, 0.3], [0.8, 0.2], [0.1, 0.9]]))
    assert found["logits"][:, 0].tolist() == [0, 1, 1, 0]
    close_calls_again(lambda _: {"probabilities": floats([[1, 0]])}, exact, plain, margin)(inputs)
    assert len(asked) == 1


@pytest.mark.skipif(not has_instructions("bf16"), reason="this processor has no bf16")
def test_a_model_computes_again_within_the_margin_that_its_bundle_states(make_bundle: MakeBundle) -> None:
    pixels = images(12)

    def answers(name: Precision, margin: float | None) -> tuple[Engine, np.ndarray]:
        checks = {} if margin is None else {"bf16": check(margin=margin)}
        engine = Engine(make_bundle(precisions=checks), threads=1, precision=name)
        return engine, engine.run(pixels)["probabilities"]

    (_, full), (plain, low) = answers("fp32", 0.5), answers("bf16", None)
    assert (plain.margin, plain.computed_in) == (None, "bf16")
    _, all_again = answers("bf16", 100.0)
    assert np.array_equal(all_again, full)
    away = distance_to_change(plain.description, low)
    margin = float(np.median(away))
    engine, some_again = answers("bf16", margin)
    assert (engine.margin, engine.computed_in) == (margin, "bf16, and close calls in fp32")
    again = away <= margin
    assert 0 < again.sum() < len(again)
    assert np.allclose(some_again[again], full[again], atol=1e-6)
    assert np.allclose(some_again[~again], low[~again], atol=1e-6)


@pytest.mark.skipif(not has_instructions("bf16"), reason="this processor has no bf16")
def test_a_bundle_of_fewer_bits_has_the_margin_of_its_own_check(make_bundle: MakeBundle) -> None:
    bundle = make_bundle(precision="bf16", precision_check=check(margin=0.125))
    assert Engine(bundle, threads=1).margin == 0.125
    assert Engine(bundle, threads=1, precision="fp32").margin is None
