"""Does a bundle score what it says? The claim of its card, row by row, on the test images that it names.

Here: running it on them and comparing. Not here: whether the file is whole, which loading it makes sure of.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from lesionwise.bundle.description import PartScores, image_digest
from lesionwise.bundle.engine import Engine
from lesionwise.data.dataset import Dataset
from lesionwise.errors import DataError
from lesionwise.evaluation.bootstrap import Estimate
from lesionwise.evaluation.evaluate import evaluate
from lesionwise.split.groups import lesion_groups

TOLERANCE: Final = 2e-3
"""By how much a score may differ: four of 2,004 images, for another processor's rounding."""


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
    """Run a bundle on the test images that it names and return every score beside the one it claims.

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
    told = dataset.records(rows, encoding.names) if encoding else None
    said = engine.predict((paths[row] for row in rows), told).probabilities
    return _compare(claim, dataset.y[rows], said, lesion_groups(dataset.table)[rows])


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


def _compare(
    claim: PartScores, y_true: NDArray[np.int64], y_prob: NDArray[np.float32], group: NDArray[np.str_]
) -> list[Row]:
    found = evaluate(y_true, y_prob, group)
    claimed = {"": claim.overall, **claim.per_class}
    measured = {"": found.overall, **found.per_class}
    return [
        Row("images", "", claim.images, found.images),
        *(
            Row(score, diagnosis, stated.value, _value(measured[diagnosis].get(score)))
            for diagnosis, scores in claimed.items()
            for score, stated in scores.items()
        ),
    ]


def _value(estimate: Estimate | None) -> float | None:
    return None if estimate is None else estimate.value
