"""The claims of a bundle: gathered from the records of an evaluation, and compared with those of another.

Not here: the record (`description`), whether a claim is true (`predict.check`), and which of two models is
better (`evaluation.scores`).
"""

from collections.abc import Collection, Iterator
from dataclasses import asdict
from typing import Any, Final, NamedTuple

from lesionwise.bundle.description import Description, PartScores
from lesionwise.evaluation.calibration.check import CalibrationCheck
from lesionwise.evaluation.scores.bootstrap import Estimate
from lesionwise.evaluation.scores.evaluate import Evaluation

_LEFT_OUT: Final = ("card", "measured_on", "packages", "seen", "test_images")
"""Texts and lists that differ between any two models and do not concern their answers."""
_NAMING: Final = ("question", "aim", "at_least", "name", "model")  # what distinguishes the entries of a list
ABSENT: Final = "none"


def part_scores(
    evaluation: Evaluation,
    check: CalibrationCheck | None = None,
    *,
    accepted: float | None = None,
    only: Collection[str] | None = None,
) -> PartScores:
    """Return the measurements on a part as a bundle claims them.

    Args:
        check: Results of operating points and prediction sets; without it, the bundle claims nothing of them.
        accepted: Part of the images that are accepted as lesion images, if that was measured.
        only: Names of the scores to claim; all if left out.
    """

    def kept(values: dict[str, Estimate]) -> dict[str, dict[str, float]]:
        return {name: asdict(value) for name, value in values.items() if only is None or name in only}

    return PartScores.model_validate(
        {
            "images": evaluation.images,
            "lesions": evaluation.lesions,
            "overall": kept(evaluation.overall),
            "per_class": {code: kept(values) for code, values in evaluation.per_class.items()},
            **(_decisions(check) if check else {}),
            "accepted": accepted,
        }
    )


def _decisions(check: CalibrationCheck) -> dict[str, object]:
    points = [
        {**{key: point[key] for key in ("question", "aim", "at_least")}, **point["found"]}
        for point in check.points
    ]
    coverage = {
        row["diagnosis"]: {"lesions": row["lesions"], "covered": row["covered"]} for row in check.coverage
    }
    sets = {"coverage": coverage, "mean": check.sizes["mean"], "single": check.sizes["single"]}
    return {"points": points, "sets": sets}


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
