"""What changed from one model to the next: the claims in which two descriptions differ.

Not here: whether a claim is true (`predict.check`), and which model is better (`evaluation.scores`).
"""

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from lesionwise.bundle.description import Description

_LEFT_OUT: Final = ("card", "measured_on", "packages", "seen", "test_images")
"""Texts and lists that differ between any two models and do not concern their answers."""
_NAMING: Final = ("question", "aim", "at_least", "name", "model")  # what distinguishes the entries of a list
ABSENT: Final = "none"


class Moved(NamedTuple):
    """One claim that differs.

    Attributes:
        claim: Its place in the description, such as `calibration.scaling.temperature`.
        old: Value in the older bundle; "none" if there is none.
        new: Value in the newer one.
    """

    claim: str
    old: str
    new: str


def moved_claims(old: Description, new: Description) -> list[Moved]:
    """Return every claim in which two bundles differ, in the order of the description."""
    before, after = (dict(_claims(one.model_dump(mode="json"))) for one in (old, new))
    found = (Moved(name, before.get(name, ABSENT), after.get(name, ABSENT)) for name in before | after)
    return [one for one in found if one.old != one.new]


def _claims(value: Any, where: str = "") -> Iterator[tuple[str, str]]:  # noqa: ANN401 (whatever JSON holds)
    """Yield each leaf of a description with its path; a score with its interval is one leaf."""
    if isinstance(value, dict) and {"value", "low", "high"} <= value.keys():
        yield where, "{value:.4f} ({low:.4f} to {high:.4f})".format(**value)
    elif isinstance(value, dict):
        for name, inner in value.items():
            if name not in _LEFT_OUT:
                yield from _claims(inner, f"{where}.{name}" if where else name)
    elif isinstance(value, list) and any(isinstance(inner, dict) for inner in value):
        for inner in value:
            name = " ".join(str(inner[key]) for key in _NAMING if inner.get(key) is not None)
            yield from _claims(inner, f"{where}[{name}]")
    elif value is not None:
        yield where, str(value)
