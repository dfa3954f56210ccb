"""What a bundle claims: the scores of its run, and the test images that they rest on.

Here: which of the written scores are those of what the bundle answers. Not here: scoring (`evaluation`).
"""

from collections.abc import Sequence
from typing import Any, Final

from lesionwise.bundle.description import PartScores, image_digest
from lesionwise.evaluation.calibration import Calibration
from lesionwise.evaluation.predictions import Predictions
from lesionwise.evaluation.run_predictions import read_run_predictions
from lesionwise.evaluation.run_scores import evaluate_predictions, read_check
from lesionwise.run_folder import RunFolder, read_json
from lesionwise.split.split_file import Split

_OF_THE_LIKELIEST: Final = (
    *("balanced_accuracy", "accuracy", "macro_precision", "macro_recall", "macro_f1"),
    *("weighted_precision", "weighted_recall", "weighted_f1", "precision", "recall", "specificity", "f1"),
)
"""Scores that look at the likeliest diagnosis alone, which no temperature changes."""

_MOST_IMAGES: Final = 40_000
"""Digests of more would fill the description; they are left out then."""


def claimed_scores(run: RunFolder, calibration: Calibration) -> dict[str, PartScores]:
    """Return the scores on `val` of what the bundle answers, and those on `test` that the run has.

    A run that trained on `val` has none on it.
    `test` is not read for an export. Its scores are taken whole if they were worked out with this very
    scaling. From before the run was calibrated, or with another temperature, those stay that a temperature
    leaves as they are; all others are scores of another model and are left out.

    Args:
        run: A run, or an ensemble.
        calibration: That the bundle applies.
    """
    found = {}
    if run.predictions("val").is_file():
        found["val"] = scores_of(read_run_predictions(run, "val"), str(run.predictions("val")))
    parts = read_json(run.scores)["parts"] if run.scores.is_file() else {}
    if "test" not in parts:
        return found
    check = read_check(run, "test")
    if check and check.is_of(calibration):
        found["test"] = _part_scores(parts["test"])
    elif calibration.scaling.method == "temperature" and (check is None or check.method == "temperature"):
        found["test"] = _part_scores(parts["test"], only=_OF_THE_LIKELIEST)
    return found


def scores_of(said: Predictions, source: str) -> PartScores:
    """Return all scores of some predictions, as a bundle claims them.

    Args:
        said: With truth and lesions.
        source: Name of their file, for messages.
    """
    return _part_scores(evaluate_predictions(said, source).to_json())


def digests_of_test(scores: dict[str, PartScores], split: Split) -> tuple[str, ...]:
    """Return the digests of the test images, none where no score of theirs is claimed.

    Args:
        scores: That are claimed.
        split: Of the run.
    """
    names = split.image_ids("test")
    if "test" not in scores or len(names) > _MOST_IMAGES:
        return ()
    return tuple(sorted(image_digest(name) for name in names))


def _part_scores(scores: dict[str, Any], *, only: Sequence[str] | None = None) -> PartScores:
    def kept(values: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in values.items() if only is None or name in only}

    return PartScores.model_validate(
        {
            "images": scores["images"],
            "lesions": scores["lesions"],
            "overall": kept(scores["overall"]),
            "per_class": {code: kept(values) for code, values in scores["per_class"].items()},
        }
    )
