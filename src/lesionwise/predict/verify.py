"""Does a bundle score what it says? The claim of its card, row by row, on the test images that it names.

Here: running it on them and comparing. Not here: whether the file is whole, which loading it makes sure of.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from lesionwise.bundle.claim import part_scores
from lesionwise.bundle.description import PartScores, image_digest
from lesionwise.bundle.engine import Answers, Engine
from lesionwise.data.dataset import Dataset
from lesionwise.data.identical import identical_images
from lesionwise.data.images import read_image
from lesionwise.errors import DataError
from lesionwise.evaluation.calibration.check import check_calibration
from lesionwise.evaluation.calibration.record import softmax
from lesionwise.evaluation.scores.evaluate import evaluate
from lesionwise.split.groups import lesion_groups

TOLERANCE: Final = 2e-3
"""By how much a score may differ: four of 2,004 images, for another processor's rounding."""

_SMALL: Final = (64, 64)  # enough to tell which images need a closer look


@dataclass(frozen=True)
class Row:
    """One line of the card.

    Attributes:
        score: Its name.
        diagnosis: Of which; empty for a score over all.
        claimed: By the file.
        found: Here; None if there is no score of that name.
    """

    score: str
    diagnosis: str
    claimed: float
    found: float | None

    @property
    def confirmed(self) -> bool:
        """Whether the two agree."""
        return self.found is not None and abs(self.claimed - self.found) <= TOLERANCE

    def to_json(self) -> dict[str, Any]:
        """Return the line as plain values."""
        return {**vars(self), "confirmed": self.confirmed}


def verify_claims(engine: Engine, dataset: Dataset) -> list[Row]:
    """Run a bundle on the test images that it names and return every number beside the one it claims.

    Args:
        engine: Of the bundle.
        dataset: That it was tested on.

    Raises:
        DataError: If the bundle claims nothing, or images that it names are not in the data.
    """
    description = engine.description
    claim = description.scores.get("test")
    digests = description.provenance.test_images if description.provenance else ()
    if claim is None or not digests:
        raise DataError(
            f"{engine.bundle.path}: claims no test score, or does not name the images that it rests on. "
            "There is nothing to verify."
        )
    rows = _rows_of(dataset, digests)
    paths = dataset.paths
    encoding = engine.description.metadata
    told = encoding.known(dataset.records(rows, encoding.names)) if encoding else None
    said = engine.predict((paths[row] for row in rows), told)
    measured = _measure(said, dataset.y[rows], _groups_of(dataset, rows))
    found = dict(_lines(measured))
    return [Row(*name, claimed, found.get(name)) for name, claimed in _lines(claim)]


def _rows_of(dataset: Dataset, digests: tuple[str, ...]) -> NDArray[np.int64]:
    """Return the rows of the images with these digests."""
    place = {image_digest(name): row for row, name in enumerate(dataset.table["image_id"])}
    missing = sum(digest not in place for digest in digests)
    if missing:
        raise DataError(
            f"{dataset.folder}: lacks {missing} of the {len(digests)} test images that the bundle names. "
            "Pass the data that it was tested on."
        )
    return np.array(sorted(place[digest] for digest in digests), np.int64)


def _groups_of(dataset: Dataset, rows: NDArray[np.int64]) -> NDArray[np.str_]:
    """Return the lesions of some images, joined as a split joins them."""
    part = replace(dataset, table=dataset.table.iloc[rows].reset_index(drop=True))
    pixels = np.stack([read_image(path, _SMALL) for path in part.paths])
    return lesion_groups(dataset.table, identical_images(part, pixels))[rows]


def _measure(said: Answers, y_true: NDArray[np.int64], groups: NDArray[np.str_]) -> PartScores:
    """Return what a bundle would claim if these were all its test images."""
    calibration, prob = said.description.calibration, said.probabilities
    check = accepted = None
    if calibration is not None:
        check = check_calibration(calibration, y_true, softmax(said.logits), prob, groups)
    if said.ood_score is not None and said.description.ood_cutoff is not None:
        accepted = float(np.mean(said.decisions.decision != "not_a_lesion_image"))
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
