"""The claims of a bundle: the scores of its run, and their test images."""

from collections.abc import Sequence
from typing import Final

from lesionwise.bundle.claims import part_scores
from lesionwise.bundle.description import PartScores, StabilityScores, image_digest
from lesionwise.bundle.seen import digests_of_seen
from lesionwise.data.known_lesions import REFERENCE_SPLIT
from lesionwise.evaluation.calibration.record import Calibration
from lesionwise.evaluation.predictions import Predictions
from lesionwise.evaluation.rejection import has_numbers
from lesionwise.evaluation.runs.predictions import read_run_predictions
from lesionwise.evaluation.runs.scores import evaluate_predictions, read_check
from lesionwise.evaluation.scores.evaluate import Evaluation
from lesionwise.evaluation.stability import read_stability
from lesionwise.files import read_json
from lesionwise.run_folder import RunFolder
from lesionwise.split.split_file import Split
from lesionwise.training.start import made_with

_OF_THE_LIKELIEST: Final = (
    *("balanced_accuracy", "accuracy", "macro_precision", "macro_recall", "macro_f1"),
    *("weighted_precision", "weighted_recall", "weighted_f1", "precision", "recall", "specificity", "f1"),
)
"""Scores that depend only on the most likely diagnosis, which no temperature changes."""

_MOST_IMAGES: Final = 40_000
"""Digests of more images would fill the description; they are left out then."""
_MOST_SEEN: Final = 10_000
"""The same for the images that made a model, because their lesions are listed as well."""


def claimed_scores(run: RunFolder, calibration: Calibration) -> dict[str, PartScores]:
    """Return the scores on `val` of the bundle's answers, and the run's scores on `test`.

    A run that trained on `val` has none on it. An export does not read `test`. Its scores are claimed if they
    were computed with this very scaling. If the run was calibrated later, or with another temperature, only
    scores that a temperature does not change are claimed. Operating points, prediction sets and the part of
    accepted images are claimed only on `test`, and only if they belong to this calibration.
    """
    found = {}
    if run.predictions("val").is_file():
        found["val"] = scores_of(read_run_predictions(run, "val"), str(run.predictions("val")))
    parts = read_json(run.scores)["parts"] if run.scores.is_file() else {}
    if "test" not in parts:
        return found
    test, check = Evaluation.from_json(parts["test"]), read_check(run, "test")
    accepted = _accepted(run, test.images)
    if check and check.is_of(calibration):
        same = check if check.decides_as(calibration) else None
        found["test"] = part_scores(test, same, accepted=accepted)
    elif calibration.scaling.method == "temperature" and (check is None or check.method == "temperature"):
        found["test"] = part_scores(test, accepted=accepted, only=_OF_THE_LIKELIEST)
    return found


def scores_of(predictions: Predictions, source: str) -> PartScores:
    """Return all scores of some predictions, as a bundle claims them."""
    return part_scores(evaluate_predictions(predictions, source))


def digests_of_test(scores: dict[str, PartScores], split: Split) -> tuple[str, ...]:
    """Return the digests of the test images; none if no score on them is claimed."""
    names = split.image_ids("test")
    if "test" not in scores or len(names) > _MOST_IMAGES:
        return ()
    return tuple(sorted(image_digest(name) for name in names))


def digests_of_made_with(split: Split, runs: Sequence[RunFolder]) -> tuple[str, ...] | None:
    """Return the digests of the images and lesions that made a model.

    None if the package knows the split, or if the description has no room for so many.

    Args:
        runs: The members, or the run alone: what they started from, and earlier names, count as well.
    """
    rows = split.frame[split.frame["part"] != "test"]
    own = digests_of_seen(rows["image_id"].tolist(), rows["group"].unique().tolist())
    before = {digest for run in runs for digest in made_with(run)} - set(own)
    if len(rows) + len(before) > _MOST_SEEN or (split.fingerprint == REFERENCE_SPLIT and not before):
        return None
    return tuple(sorted({*before, *own}))


def claimed_stability(run: RunFolder, split: Split) -> StabilityScores | None:
    """Return how often answers on `cal` stay the same, with the images, if that was measured."""
    found = read_stability(run)
    if found is None:
        return None
    names = split.image_ids("cal")
    digests = sorted(map(image_digest, names)) if len(names) <= _MOST_IMAGES else []
    return StabilityScores.model_validate({**found.to_json(), "measured_on": digests})


def _accepted(run: RunFolder, images: int) -> float | None:
    """Return the part of all test images that the run accepts as lesion images, if that was measured."""
    if not (has_numbers(run) and run.outsiders.is_file()):
        return None
    found = read_json(run.outsiders)
    return float(found["accepted"]) if (found.get("part"), found["images"]) == ("test", images) else None
