"""The number format in which a bundle is computed: which formats it offers, and which one is chosen.

Fewer bits change few answers, and nearly all of these are close calls: another diagnosis, prediction set or
melanoma flag is near. Therefore such an image is computed again in fp32. For `best`, this is one image in
three, and leaves one change in twenty.

Here: formats by bundle, runtime and processor, and computing again. Not here: measuring the margin and what a
format changes (`lesionwise.export.precision`), and the graph in eight bits (`int8`).
"""

from functools import cache
from typing import Final, Literal

from lesionwise.bundle.decide import distance_to_change
from lesionwise.bundle.description import Description, Precision, PrecisionCheck
from lesionwise.bundle.runtimes import Arrays, Inputs, Run, Runtime, import_openvino
from lesionwise.errors import BundleError
from lesionwise.execution import describe_processor

Wished = Precision | Literal["auto"]
FASTEST_FIRST: Final[tuple[Precision, ...]] = ("int8", "bf16")
MOST_CHANGED: Final = 0.01
"""Share of the answers on `cal` that "auto" lets a format change: diagnosis, decision, set or flag."""
LARGEST_DIFFERENCE: Final = 0.002
"""By how much "auto" lets a format change the balanced accuracy on `cal`."""
LEAST_GAIN: Final = 1.2
"""Pace, as a multiple of that of fp32, from which "auto" chooses a format."""

_VNNI: Final = {"avx512_vnni", "avx_vnni", "amx_int8"}


def margin_of(description: Description, precision: Precision) -> float | None:
    """Return the distance to a change up to which answers are computed again; None if none are."""
    own = description.precision_check if precision == description.precision else None
    check = description.precisions.get(precision, own)
    return check.margin if check else None


def close_calls_again(quick: Run, exact: Run, description: Description, margin: float) -> Run:
    """Return the function that runs `quick`, and then `exact` on the images whose answer is a close call."""

    def run(inputs: Inputs) -> Arrays:
        found = quick(inputs)
        again = distance_to_change(description, found["probabilities"]) <= margin
        if again.any():
            for name, values in exact({name: values[again] for name, values in inputs.items()}).items():
                found[name][again] = values
        return found

    return run


def keeps_promise(check: PrecisionCheck) -> bool:
    """Return whether a format changes so few answers that "auto" may choose it."""
    if check.balanced_accuracy_change is None:
        return False  # an older file, which does not state it
    few = check.changed <= MOST_CHANGED * check.images
    return few and abs(check.balanced_accuracy_change) <= LARGEST_DIFFERENCE


def gains_enough(check: PrecisionCheck) -> bool:
    """Return whether a format is fast enough for "auto"; older files state no pace, and then it is."""
    return check.pace is None or check.pace >= LEAST_GAIN


@cache
def has_instructions(precision: Precision) -> bool:
    """Return whether this processor has instructions for a format.

    Without them, OpenVINO would silently compute fp32 instead of bf16, and sums in int8 could overflow.
    """
    if precision == "bf16":
        return "BF16" in import_openvino().Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    if precision == "int8":
        return not _VNNI.isdisjoint(describe_processor().split())
    return True


@cache
def has_amx() -> bool:
    """Return whether this processor has AMX, with which int8 is slower than bf16.

    Both have the same tiles there, and rounding to eight bits between the layers costs more than it saves:
    `best` in int8, with close calls, has 0.96 times the pace of fp32, and 1.14 times in bf16.
    """
    return "amx_int8" in describe_processor().split()


def offered_precisions(description: Description) -> tuple[Precision, ...]:
    """Return the formats in which a bundle can be computed, its own first."""
    own = description.precision
    if own == "int8" and not description.int8_ranges:
        return (own,)  # an older file, whose graph itself is in eight bits
    others: tuple[Precision, ...] = ("fp32", "bf16", "int8") if description.int8_ranges else ("fp32", "bf16")
    return (own, *(other for other in others if other != own))


def computable_precisions(description: Description) -> list[Precision]:
    """Return the formats in which OpenVINO can compute a bundle on this machine, the bundle's own first."""
    offered = offered_precisions(description)
    return [name for name in offered if not _obstacle(description, name, "openvino")]


def choose_precision(description: Description, wished: Wished | None, runtime: Runtime) -> Precision:
    """Return the format to compute in.

    Args:
        wished: A format; "auto" for the fastest that keeps the promise, by the pace that the bundle states,
            and never int8 on a processor with AMX; None for the bundle's own, or fp32 if this machine cannot
            compute that.

    Raises:
        BundleError: If this machine cannot compute the requested format; the message does not name the file.
    """
    if wished is None or wished == "auto":
        checks = description.precisions if wished else {}
        measured = [name for name in FASTEST_FIRST if name in checks and not (name == "int8" and has_amx())]
        worth = [name for name in measured if keeps_promise(checks[name]) and gains_enough(checks[name])]
        fastest = sorted(worth, key=lambda name: -(checks[name].pace or LEAST_GAIN))
        candidates = (*fastest, description.precision)
        return next((name for name in candidates if not _obstacle(description, name, runtime)), "fp32")
    if obstacle := _obstacle(description, wished, runtime):
        raise BundleError(obstacle)
    return wished


def _obstacle(description: Description, precision: Precision, runtime: Runtime) -> str:
    """Return why a bundle cannot be computed in a format here; empty if it can."""
    offered = offered_precisions(description)
    if precision not in offered:
        return (
            f"can be computed in {' or '.join(offered)}, and not in {precision}. Make a file for it with "
            f'"lesionwise bundle export RUN --precision {precision}"'
        )
    if precision not in FASTEST_FIRST or offered == ("int8",):
        return ""
    if runtime != "openvino":
        return f"can be computed in {precision} only on OpenVINO, not on {runtime}. Choose fp32"
    if not has_instructions(precision):
        return (
            f"cannot be computed in {precision} here: this processor has no instructions for it. Choose fp32"
        )
    return ""
