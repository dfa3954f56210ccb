"""What a bundle claims about a part of the split, gathered from the records of its evaluation.

Here: the claim that `export.claims` makes and `predict.check` computes again. Not here: the record
(`description`), and measuring.
"""

from collections.abc import Collection
from dataclasses import asdict

from lesionwise.bundle.description import PartScores
from lesionwise.evaluation.calibration.check import CalibrationCheck
from lesionwise.evaluation.scores.bootstrap import Estimate
from lesionwise.evaluation.scores.evaluate import Evaluation


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
