"""What moved from one model to the next: every claim of two descriptions, side by side.

Here: comparing what bundles state. Not here: whether it is true (`predict.check`), and which is better
(`evaluation.scores`).
"""

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from lesionwise.bundle.description import Description

_LEFT_OUT: Final = ("card", "measured_on", "packages", "seen", "test_images")
"""Texts and lists that differ between any two models and say nothing about their answers."""
ABSENT: Final = "none"


class Moved(NamedTuple):
    """One claim that differs.

    Attributes:
        claim: Its place in the description, such as `calibration.scaling.temperature`.
        old: As the older bundle has it; "none" if it has none.
        new: As the newer one has it.
    """

    claim: str
    old: str
    new: str


def moved_claims(old: Description, new: Description) -> list[Moved]:
    """Return every claim in which two bundles differ, in the order of the description."""
    before, after = (dict(_claims(one.model_dump(mode="json"))) for one in (old, new))
    names = [*before, *(name for name in after if name not in before)]
    pairs = ((name, before.get(name, ABSENT), after.get(name, ABSENT)) for name in names)
    return [Moved(*pair) for pair in pairs if pair[1] != pair[2]]


def _claims(value: Any, where: str = "") -> Iterator[tuple[str, str]]:  # noqa: ANN401 (whatever JSON holds)
    """Yield each leaf of a description with the way to it; a score with its interval is one leaf."""
    if isinstance(value, dict) and {"value", "low", "high"} <= value.keys():
        yield where, "{value:.4f} ({low:.4f} to {high:.4f})".format(**value)
    elif isinstance(value, dict):
        for name, inner in value.items():
            if name not in _LEFT_OUT:
                yield from _claims(inner, f"{where}.{name}" if where else name)
    elif isinstance(value, list) and any(isinstance(inner, dict) for inner in value):
        for inner in value:
            yield from _claims(inner, f"{where}[{_name(inner)}]")
    elif value is not None:
        yield where, str(value)


def _name(entry: dict[str, Any]) -> str:
    """Return what tells one entry of a list from the others."""
    keys = ("question", "aim", "at_least", "name", "model")
    return " ".join(str(entry[key]) for key in keys if entry.get(key) is not None)
