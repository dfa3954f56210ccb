"""Which number format a bundle is computed in: asked for, promised, and possible here."""

from collections.abc import Callable

import pytest

from bundle.conftest import MakeBundle
from bundle.small_model import describe
from lesionwise.bundle import precision
from lesionwise.bundle.description import Description, Precision, PrecisionCheck
from lesionwise.bundle.engine import Engine
from lesionwise.bundle.precision import choose_precision, keeps_promise, offered_precisions
from lesionwise.bundle.runtimes import Runtime
from lesionwise.errors import BundleError

RANGES = {"weights": (0.0, 1.0)}


def check(top_changed: int | None = 0, change: float | None = 0.0) -> PrecisionCheck:
    return PrecisionCheck(
        images=1000,
        changed=50,
        largest_difference=0.1,
        top_changed=top_changed,
        balanced_accuracy_change=change,
    )


GOOD, BAD = check(), check(87)
Processor = Callable[..., None]


@pytest.fixture
def processor_with(monkeypatch: pytest.MonkeyPatch) -> Processor:
    """A function that says what the processor has instructions for."""

    def install(*names: Precision) -> None:
        monkeypatch.setattr(precision, "has_instructions", lambda name: name in names)

    return install


@pytest.mark.parametrize("found", [check(), check(10, 0.002), check(10, -0.002)])
def test_one_answer_in_a_hundred_and_two_thousandths_may_change(found: PrecisionCheck) -> None:
    assert keeps_promise(found)


@pytest.mark.parametrize(
    "found",
    [check(11), check(0, 0.0021), check(0, -0.0021), check(None, None)],  # the last is of an older file
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
