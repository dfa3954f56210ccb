"""Similar lesions beside predictions: finding them for a batch, and the columns that a table gets.

Here: what `lesionwise predict --gallery` adds. Not here: the search (`lesionwise.gallery.gallery`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from lesionwise.bundle.answers import Answers
from lesionwise.data.pictures import Picture
from lesionwise.files import file_sha256
from lesionwise.gallery.gallery import Gallery, Similar
from lesionwise.names import inert_name

SIMILAR_COLUMNS: Final = ("similar_dx", "similar_images", "similar_percentiles")
"""Columns of the similar lesions; semicolons separate the values of several lesions, the nearest first."""


@dataclass(frozen=True)
class SimilarFinder:
    """Finds similar lesions in a gallery for each picture."""

    gallery: Gallery
    count: int

    @property
    def settings(self) -> dict[str, object]:
        """Settings that a resumed call must share."""
        return {"--gallery": file_sha256(self.gallery.path), "--similar": self.count}

    def find(self, answers: Answers, pictures: Sequence[Picture]) -> list[list[Similar]]:
        """Return the similar lesions of each picture of a batch."""
        return self.gallery.similar(answers, self.count, image_ids=[picture.image_id for picture in pictures])

    def cells(self, answers: Answers, pictures: Sequence[Picture]) -> list[list[str]]:
        """Return the values of `SIMILAR_COLUMNS` for each picture of a batch."""
        return [
            [
                ";".join(one.dx for one in found),
                inert_name(";".join(one.image_id for one in found)),
                ";".join(f"{one.percentile:.4g}" for one in found),
            ]
            for found in self.find(answers, pictures)
        ]
