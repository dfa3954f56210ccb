"""The answers of a model to images: all of them as arrays, and each as a record of its own.

Here: the records, as JSON and as a table. Not here: the rules of decisions (`decide`), and answers as text or
HTML (`rendering`).
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast, overload

import numpy as np
from numpy.typing import NDArray

from lesionwise.arrays import Float32s, Pixels
from lesionwise.bundle.decide import Decision, Decisions, decide
from lesionwise.bundle.description import Description
from lesionwise.data.images import read_image
from lesionwise.errors import DataError, ImageError, import_extra
from lesionwise.labels import CODES, INDEX
from lesionwise.names import inert_name, shortest_names

if TYPE_CHECKING:
    import pandas as pd

Source = Path | Pixels | Callable[[], bytes]
"""Where the pixels of an answered image are: its file, the pixels themselves, or a function that reads it."""
COLUMNS: Final = (
    *("image_id", "path", "decision", "top", "malignant_probability", "prediction_set", "ood_score"),
    *(f"prob_{code}" for code in CODES),
    *(f"logit_{code}" for code in CODES),
    *("model", "model_sha256"),
)
"""Columns of a predictions CSV."""
_DIGITS: Final = 6


@dataclass(frozen=True, repr=False)
class Answer:
    """The answer of a model to one image.

    Attributes:
        name: Path of the image, or its number: "image 0".
        decision: "answer", "uncertain" or "not_a_lesion_image".
        top: Code of the most likely diagnosis.
        probabilities: Probability by code; calibrated if the model is.
        malignant_probability: Probability of `akiec`, `bcc` and `mel` together.
        prediction_set: Codes of the diagnoses that cannot be excluded, the most likely first; None without
            calibration.
        ood_score: How unlike a lesion image it is; None if the model gives no such score.
        above_melanoma_threshold: Whether melanoma is likely enough to be reported; None without a threshold.
        heatmap: What each place adds to the logit of `top`, shape (h, w); None if the model gives no map.
        source: Where its pixels are; None if they were not kept.
    """

    name: str
    decision: Decision
    top: str
    probabilities: dict[str, float]
    malignant_probability: float
    prediction_set: tuple[str, ...] | None
    ood_score: float | None
    above_melanoma_threshold: bool | None
    heatmap: Float32s | None = field(compare=False)
    description: Description
    source: Source | None = field(default=None, compare=False)

    @property
    def coverage(self) -> float | None:
        """Part of the lesions of each diagnosis whose set contains it; None without calibration."""
        calibration = self.description.calibration
        return None if calibration is None else calibration.prediction_sets.coverage

    def read_pixels(self) -> Pixels | None:
        """Return the network's input image, shape (H, W, 3); None if it cannot be read again."""
        rule = self.description.input
        if self.source is None or isinstance(self.source, np.ndarray):
            return self.source
        try:
            content = self.source if isinstance(self.source, Path) else self.source()
            return read_image(content, rule.size, steps=rule.steps)
        except ImageError:
            return None

    def to_json(self) -> dict[str, Any]:
        """Return JSON values, without map and pixels."""
        return {
            "decision": self.decision,
            "top": self.top,
            "probabilities": {code: round(value, _DIGITS) for code, value in self.probabilities.items()},
            "malignant_probability": round(self.malignant_probability, _DIGITS),
            "prediction_set": self.prediction_set and list(self.prediction_set),
            "coverage": self.coverage,
            "ood_score": None if self.ood_score is None else round(self.ood_score, _DIGITS),
            "above_melanoma_threshold": self.above_melanoma_threshold,
        }

    def __repr__(self) -> str:
        from lesionwise.bundle.rendering import describe_answer  # noqa: PLC0415 (which needs this record)

        return describe_answer(self)

    def _repr_html_(self) -> str:
        from lesionwise.bundle.rendering import answers_html  # noqa: PLC0415 (the same)

        return answers_html([self], self.description)


@dataclass(frozen=True, repr=False, eq=False)
class Answers(Sequence[Answer]):
    """The answers of a model to some images; a sequence of `Answer`.

    Attributes:
        probabilities: Calibrated, shape (N, C).
        logits: Raw, shape (N, C).
        embedding: Shape (N, D); None if the model gives none.
        ood_score: How unlike a lesion image each is, shape (N,); None if the model gives none.
        cam: What each place adds to each logit, shape (N, C, h, w); None if the model gives none.
        image_ids: Id of each image in a table of paths; empty for an image of no table.
        sources: Where the pixels of each image are, as far as they were kept.
        left_out: Reason by name, for unreadable images that were skipped.
        sha256: Hash of the bundle that answered, by which `evaluate` finds its training images.
    """

    description: Description
    probabilities: Float32s
    logits: Float32s
    embedding: Float32s | None = None
    ood_score: Float32s | None = None
    cam: Float32s | None = None
    names: tuple[str, ...] = ()
    image_ids: tuple[str, ...] = ()
    sources: tuple[Source | None, ...] = ()
    left_out: dict[str, str] = field(default_factory=dict)
    sha256: str = ""

    def __len__(self) -> int:
        return len(self.probabilities)

    @cached_property
    def decisions(self) -> Decisions:
        """Decision, most likely diagnosis, prediction set and melanoma threshold of each image."""
        return decide(self.description, self.probabilities, self.ood_score)

    @overload
    def __getitem__(self, place: int) -> Answer: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[Answer]: ...
    def __getitem__(self, place: int | slice) -> Answer | Sequence[Answer]:
        if isinstance(place, slice):
            return [self._answer(row) for row in range(*place.indices(len(self)))]
        return self._answer(range(len(self))[place])

    def __iter__(self) -> Iterator[Answer]:
        return map(self._answer, range(len(self)))

    def to_frame(self) -> "pd.DataFrame":
        """Return a table with a row for each image and the columns of a predictions CSV.

        Raises:
            MissingExtraError: If pandas is not installed.
            DataError: If two images have the same id, such as a file that was passed twice.
        """
        columns = self.columns(self._unique_ids(), list(map(inert_name, self._all_names)))
        found: pd.DataFrame = import_extra("pandas").DataFrame(dict(zip(COLUMNS, columns, strict=True)))
        return found

    def columns(self, image_ids: Sequence[str], paths: Sequence[str]) -> list[Sequence[str] | NDArray[Any]]:
        """Return the columns of a predictions CSV in the order of `COLUMNS`, each of length N.

        Each row names the model, so that `evaluate` can look up its training images.
        """
        found, rows = self.decisions, len(self)
        return [
            image_ids,
            paths,
            found.decision,
            found.top,
            found.malignant_probability,
            [" ".join(found.prediction_codes(row) or ()) for row in range(rows)],
            np.full(rows, np.nan) if self.ood_score is None else self.ood_score,
            *self.probabilities.T,
            *self.logits.T,
            [inert_name(self.description.name)] * rows,
            [self.sha256] * rows,
        ]

    def __repr__(self) -> str:
        from lesionwise.bundle.rendering import describe_answers  # noqa: PLC0415 (which needs this record)

        return describe_answers(self)

    def _repr_html_(self) -> str:
        from lesionwise.bundle.rendering import answers_html  # noqa: PLC0415 (the same)

        return answers_html(self, self.description)

    @property
    def _all_names(self) -> Sequence[str]:
        return self.names or [f"image {row}" for row in range(len(self))]

    def _unique_ids(self) -> list[str]:
        """Return the ids that `lesionwise predict` would give the images."""
        given = self.image_ids or [""] * len(self)
        unnamed = dict.fromkeys(name for name, own in zip(self._all_names, given, strict=True) if not own)
        ids = shortest_names(unnamed, taken=filter(None, given))
        found = [own or inert_name(ids[name]) for name, own in zip(self._all_names, given, strict=True)]
        twice = next((image_id for image_id, times in Counter(found).items() if times > 1), None)
        if twice is not None:
            raise DataError(
                f"Expected one row for each image but several images have the id {twice}. Predict each file "
                "once, and give each row of a table its own image_id."
            )
        return found

    def _answer(self, row: int) -> Answer:
        found, above = self.decisions, self.decisions.above_melanoma_threshold
        top, held = str(found.top[row]), found.prediction_codes(row)
        probabilities: dict[str, float] = dict(zip(CODES, self.probabilities[row].tolist(), strict=True))
        return Answer(
            name=self._all_names[row],
            decision=cast("Decision", str(found.decision[row])),
            top=top,
            probabilities=probabilities,
            malignant_probability=float(found.malignant_probability[row]),
            prediction_set=held and tuple(sorted(held, key=lambda code: -probabilities[code])),
            ood_score=None if self.ood_score is None else float(self.ood_score[row]),
            above_melanoma_threshold=None if above is None else bool(above[row]),
            heatmap=None if self.cam is None else self.cam[row, INDEX[top]],
            description=self.description,
            source=self.sources[row] if self.sources else None,
        )
