"""Verifying a bundle: each score that it claims, computed again on the test images that it names."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from lesionwise.arrays import Integers
from lesionwise.bundle.answers import Answers
from lesionwise.bundle.claims import part_scores
from lesionwise.bundle.description import PartScores, image_digest
from lesionwise.bundle.engine import Engine
from lesionwise.data.dataset import Dataset
from lesionwise.data.identical import identical_images
from lesionwise.data.images import read_image
from lesionwise.data.metadata import is_unknown
from lesionwise.errors import DataError
from lesionwise.evaluation.calibration.check import check_calibration
from lesionwise.evaluation.calibration.record import softmax
from lesionwise.evaluation.scores.evaluate import evaluate
from lesionwise.evaluation.stability import ASPECTS
from lesionwise.predict.stability import BF16, stability_of
from lesionwise.split.groups import lesion_groups
from lesionwise.wording import counted

TOLERANCE: Final = 2e-3
"""Accepted difference of a score: four of 2,004 images, for the rounding of another processor."""
STABILITY_TOLERANCE: Final = 5e-3
"""Accepted difference of a share of unchanged answers: four of 869 images."""

_OF_IMAGES: Final = ("images", "lesions", "images accepted")
"""Lines that need no metadata: the rejection score depends on the picture alone."""
_SMALL: Final = (64, 64)  # enough to find images that may be identical


@dataclass(frozen=True)
class Row:
    """One line of the card.

    Attributes:
        diagnosis: Diagnosis of the score; empty for a score over all.
        found: Value that was computed here; None if there is no score of that name.
        missing: What the data lack for this number, which is then neither confirmed nor refuted.
        tolerance: Accepted difference between the two values.
        part: Part whose images the number is computed from.
    """

    score: str
    diagnosis: str
    claimed: float
    found: float | None
    missing: str = ""
    tolerance: float = TOLERANCE
    part: str = "test"

    @property
    def confirmed(self) -> bool:
        """Whether the two values agree."""
        near = self.found is not None and abs(self.claimed - self.found) <= self.tolerance
        return not self.missing and near

    @property
    def refuted(self) -> bool:
        """Whether the two values differ although nothing is missing."""
        return not self.missing and not self.confirmed

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {**vars(self), "confirmed": self.confirmed}


@dataclass(frozen=True)
class ClaimCheck:
    """The result of verifying a bundle.

    Attributes:
        known: Number of test images whose value is known, for each metadata field that the model takes.
    """

    rows: list[Row]
    known: dict[str, int]
    images: int

    @property
    def missing_metadata(self) -> list[str]:
        """Metadata fields of the model that the data have for no test image."""
        return [name for name, count in self.known.items() if not count]

    @property
    def confirmed(self) -> bool:
        """Whether each line on `test` is confirmed and no other is refuted; `cal` may be missing."""
        return all(row.confirmed or (row.missing and row.part != "test") for row in self.rows)

    def verdict(self) -> str:
        """Return the result in a sentence."""
        counts = {
            "confirmed": sum(row.confirmed for row in self.rows),
            "refuted": sum(row.refuted for row in self.rows),
            "not checked": sum(bool(row.missing) for row in self.rows),
        }
        summary = ", ".join(f"{count} {what}" for what, count in counts.items() if count)
        needs = " and ".join(dict.fromkeys(row.missing for row in self.rows if row.missing))
        if counts["confirmed"] == len(self.rows):
            return f"CONFIRMED: {counted(len(self.rows), 'row agrees', 'rows agree')}."
        if counts["refuted"]:
            return f"REFUTED in {counts['refuted']} of {counted(len(self.rows), 'row')} ({summary})."
        verdict = "CONFIRMED" if self.confirmed else "NOT VERIFIED"
        return f"{verdict}: {summary}. The rest needs {needs}."


def check_claims(engine: Engine, dataset: Dataset) -> ClaimCheck:
    """Run a bundle on the test images that it names and compare every number with its claim.

    If the data lack age, sex or site, the answers of a model that uses them differ. Then only the counts of
    images and lesions are checked. Stability is checked if the data have all images of its measurement.

    Raises:
        DataError: If the bundle claims nothing, or test images that it names are not in the data.
    """
    description = engine.description
    claim = description.scores.get("test")
    digests = description.provenance.test_images if description.provenance else ()
    if claim is None or not digests:
        raise DataError(
            f"{engine.bundle.path}: claims no test score, or does not name its test images. There is nothing "
            "to verify."
        )
    rows = _rows_of(dataset, digests)
    if len(rows) < len(digests):
        raise DataError(
            f"{dataset.folder}: lacks {len(digests) - len(rows):,} of {counted(len(digests), 'image')} that "
            "the bundle names. Pass the data that it was tested on."
        )
    paths = dataset.paths
    encoding = description.metadata
    records = dataset.records(rows, encoding.names) if encoding else []
    known = {
        name: sum(not is_unknown(record[name]) for record in records)
        for name in (encoding.names if encoding else ())
    }
    answers = engine.predict((paths[row] for row in rows), engine.known(dataset, rows))
    found = dict(_lines(_measure(answers, dataset.y[rows], _groups_of(dataset, rows))))
    unknown = ", ".join(name for name, count in known.items() if not count)
    missing = f"{unknown} of the test images" if unknown else ""
    lines = [
        Row(*name, claimed, found.get(name), missing="" if name[0] in _OF_IMAGES else missing)
        for name, claimed in _lines(claim)
    ]
    return ClaimCheck([*lines, *_check_stability(engine, dataset, missing)], known, len(rows))


def _check_stability(engine: Engine, dataset: Dataset, missing: str) -> list[Row]:
    """Return the shares of unchanged answers beside those that the bundle claims; none if it claims none.

    bf16 is left out, because its effect depends on the processor.

    Args:
        missing: Metadata that the data lack.
    """
    claim = engine.description.stability
    if claim is None or not claim.measured_on:
        return []
    rows, all_images = _rows_of(dataset, claim.measured_on), len(claim.measured_on)
    if len(rows) < all_images:
        missing = f"{all_images - len(rows):,} of {counted(all_images, 'image')} of cal"
    changes = {} if missing else stability_of(engine, dataset, rows, _groups_of(dataset, rows)).changes
    found = {
        (change, aspect): share.value
        for change, kept in changes.items()
        for aspect, share in kept.shares.items()
    }
    return [
        Row(
            f"same after {change}",
            aspect,
            claimed.value,
            found.get((change, aspect)),
            missing=missing,
            tolerance=STABILITY_TOLERANCE,
            part="cal",
        )
        for change, kept in claim.changes.items()
        if change != BF16
        for aspect in ASPECTS
        if (claimed := getattr(kept, aspect))
    ]


def _rows_of(dataset: Dataset, digests: tuple[str, ...]) -> Integers:
    """Return the rows of the images with these digests, as far as the data have them."""
    place = {image_digest(name): row for row, name in enumerate(dataset.table["image_id"])}
    return np.array(sorted(place[digest] for digest in digests if digest in place), np.int64)


def _groups_of(dataset: Dataset, rows: Integers) -> NDArray[np.str_]:
    """Return the lesions of some images, with the same joining as in a split."""
    part = replace(dataset, table=dataset.table.iloc[rows].reset_index(drop=True))
    pixels = np.stack([read_image(path, _SMALL) for path in part.paths])
    return lesion_groups(dataset.table, identical_images(part, pixels))[rows]


def _measure(answers: Answers, y_true: Integers, groups: NDArray[np.str_]) -> PartScores:
    """Return the scores that a bundle would claim if these were all its test images."""
    calibration, prob = answers.description.calibration, answers.probabilities
    check = accepted = None
    if calibration is not None:
        check = check_calibration(calibration, y_true, softmax(answers.logits), prob, groups)
    if answers.ood_score is not None and answers.description.ood_cutoff is not None:
        accepted = float(np.mean(answers.decisions.decision != "not_a_lesion_image"))
    return part_scores(evaluate(y_true, prob, groups), check, accepted=accepted)


def _lines(scores: PartScores) -> Iterator[tuple[tuple[str, str], float]]:
    """Yield each number with its name and its diagnosis."""
    yield ("images", ""), scores.images
    yield ("lesions", ""), scores.lesions
    for diagnosis, values in {"": scores.overall, **scores.per_class}.items():
        for name, score in values.items():
            yield (name, diagnosis), score.value
    for point in scores.points:
        aim = f"{point.question}, {point.aim} >= {point.at_least:g}"
        for side, found in (("sensitivity", point.sensitivity), ("specificity", point.specificity)):
            if found:
                yield (f"{aim}: {side}", ""), found.value
    if scores.sets:
        for diagnosis, counts in scores.sets.coverage.items():
            yield ("lesions covered by sets", diagnosis), counts.covered / counts.lesions
        yield ("diagnoses in a set", ""), scores.sets.mean
        yield ("sets of one diagnosis", ""), scores.sets.single
    if scores.accepted is not None:
        yield ("images accepted", ""), scores.accepted
