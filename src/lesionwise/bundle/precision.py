"""The number format in which a bundle is computed: which formats it offers, and which one is chosen.

Here: formats by bundle, runtime and processor. Not here: measuring what a format changes
(`lesionwise.export.precision`), and the graph in eight bits (`int8`).
"""

from functools import cache
from typing import Final, Literal

from lesionwise.bundle.description import Description, Precision, PrecisionCheck
from lesionwise.bundle.runtimes import Runtime, import_openvino
from lesionwise.errors import BundleError
from lesionwise.execution import describe_processor

Wished = Precision | Literal["auto"]
FASTEST_FIRST: Final[tuple[Precision, ...]] = ("int8", "bf16")
MOST_CHANGED: Final = 0.01
"""Share of the top answers on `cal` that "auto" lets a format change."""
LARGEST_DIFFERENCE: Final = 0.002
"""By how much "auto" lets a format change the balanced accuracy on `cal`."""

_VNNI: Final = {"avx512_vnni", "avx_vnni", "amx_int8"}


def keeps_promise(check: PrecisionCheck) -> bool:
    """Return whether a format changes so little that "auto" may choose it."""
    if check.top_changed is None or check.balanced_accuracy_change is None:
        return False  # an older file without these counts
    few = check.top_changed <= MOST_CHANGED * check.images
    return few and abs(check.balanced_accuracy_change) <= LARGEST_DIFFERENCE


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
        wished: A format; "auto" for the fastest that keeps the promise; None for the bundle's own, or fp32
            if this machine cannot compute that.

    Raises:
        BundleError: If this machine cannot compute the requested format; the message does not name the file.
    """
    if wished is None or wished == "auto":
        checks = description.precisions if wished else {}
        promised = [name for name in FASTEST_FIRST if name in checks and keeps_promise(checks[name])]
        candidates = (*promised, description.precision)
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
