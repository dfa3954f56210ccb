"""A gallery: images with known diagnoses, as a model sees them, and the lesions that are nearest to others.

Two images are alike if the angle between their embeddings is small. Their distance is one minus its cosine,
from 0 to 2, and means nothing by itself; so it is also given as a percentile: the part of the gallery's own
images that have a nearer lesion. Here: the record, its file, and the search. Not here: making a gallery of a
folder (`lesionwise.predict.gallery`), and which images are worth a comparison (`shortlist`).
"""

import json
from collections import defaultdict
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lesionwise.arrays import Float32s, Integers
from lesionwise.bundle.answers import Answers
from lesionwise.bundle.description import Precision
from lesionwise.bundle.engine import Engine
from lesionwise.bundle.texts import Line, Name
from lesionwise.data.collection import Collection
from lesionwise.errors import DataError
from lesionwise.gallery.arrays import map_arrays, write_arrays
from lesionwise.gallery.index import LEAST
from lesionwise.gallery.shortlist import Shortlist
from lesionwise.labels import CODES
from lesionwise.names import image_id_of
from lesionwise.wording import counted

COUNT: Final = 5
"""Number of lesions that are shown by default."""
COLUMNS: Final = ("image_id", "lesion_id", "dx", "age", "sex", "localization", "license", "sha256")
"""Columns that a gallery keeps for each image, as text; empty if unknown."""
SAME: Final = 1e-6
"""Distance below which two images are one picture: rounding alone makes about 1e-7."""
NOTHING_ALIKE: Final = 0.95
"""Percentile of the nearest lesion from which on nothing in the gallery is alike."""
_RECORD: Final = "lesionwise"
_SAMPLED: Final = 2000  # images whose own nearest lesion is looked for: a percentile is good to one per cent
_REACH: Final = 16  # images that are compared for each lesion that is wanted


class About(BaseModel):
    """The description of a gallery.

    Attributes:
        model: Name of the model that made the embeddings.
        model_sha256: Hash of its file. Embeddings of another model mean something else.
        precision: Number format of that model; in another one, all embeddings change.
        collection: The collection of images, as far as their ids show.
        licence: Licence of the images, in words; empty if not stated.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[1] = 1
    model: Name
    model_sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    precision: Precision
    collection: Collection
    licence: Line = ""
    created: date
    package_version: Line


@dataclass(frozen=True)
class Similar:
    """A lesion of a gallery that is near an image, represented by its nearest picture.

    Attributes:
        distance: One minus the cosine of the angle between the embeddings.
        percentile: Part of the gallery's own images that have a nearer lesion than this, from 0 to 1.
        age: In years; None if unknown. Unknown sex and localization are empty.
        licence: Licence of the picture, if the table states one for each picture.
        picture: JPEG; None if the gallery has no pictures.
    """

    image_id: str
    lesion_id: str
    dx: str
    distance: float
    percentile: float
    age: float | None = None
    sex: str = ""
    localization: str = ""
    licence: str = ""
    picture: bytes | None = None

    def to_json(self) -> dict[str, Any]:
        """Return all fields but the picture, as JSON values."""
        numbers = {"distance": round(self.distance, 6), "percentile": round(self.percentile, 4)}
        return {name: value for name, value in vars(self).items() if name != "picture"} | numbers


class Gallery:
    """Images with known diagnoses, as one model sees them.

    Args:
        path: Its file, which may not exist yet.
        about: Its description.
        columns: Values of each image, by a name of `COLUMNS`.
        embeddings: Of length 1, shape (N, D).
        pictures: JPEG of each image; none if it keeps no pictures.
        reference: Distances from some of its images to the nearest other lesion, shape (R,); measured if left
            out.
        shortlist: Names the images that are worth a comparison; built if left out.
    """

    def __init__(
        self,
        path: Path,
        about: About,
        columns: Mapping[str, Sequence[str]],
        embeddings: Float32s,
        *,
        pictures: Sequence[bytes] = (),
        reference: Float32s | None = None,
        shortlist: Shortlist | None = None,
    ) -> None:
        self.path = path
        self.about = about
        self.columns = columns
        self.embeddings = embeddings
        self.pictures = pictures
        self.shortlist = Shortlist.build(embeddings) if shortlist is None else shortlist
        self.reference = self._measure_reference() if reference is None else reference

    def __len__(self) -> int:
        return len(self.embeddings)

    def __repr__(self) -> str:
        return f"<Gallery of {self.about.model}: {self.describe()}; {self.path}>"

    @cached_property
    def lesions(self) -> int:
        """Number of its lesions."""
        return len(set(self.columns["lesion_id"]))

    def describe(self) -> str:
        """Return its content in words."""
        with_pictures = "with pictures" if self.pictures else "without pictures"
        licence = self.about.licence or "not stated"
        what = f"{counted(len(self), 'image')} of {counted(self.lesions, 'lesion')}"
        return f"{what}, {with_pictures}; licence: {licence}"

    def brief(self) -> dict[str, Any]:
        """Return its counts and its licence as JSON."""
        return {
            "images": len(self),
            "lesions": self.lesions,
            "pictures": bool(self.pictures),
            "licence": self.about.licence,
        }

    @property
    def advice(self) -> tuple[str, ...]:
        """Sentences that say how to make searches faster; none if nothing would."""
        if self.shortlist.index is not None or len(self) < LEAST:
            return ()
        return (
            f"{self.path}: each search compares all {counted(len(self), 'image')}.",
            'To make it faster, install faiss with: pip install "lesionwise[gallery]".',
            "If faiss was missing when the gallery was made, run the same lesionwise gallery with --append.",
        )

    def similar(
        self, answers: Answers, count: int = COUNT, *, image_ids: Sequence[str] = (), lesion: str = ""
    ) -> list[list[Similar]]:
        """Return the nearest lesions of each answered image, the nearest first.

        Its own lesion is left out: the lesion of an image with the same id, and of the same picture.

        Args:
            answers: Answers of the model that made the gallery.
            count: Lesions for each image.
            image_ids: Id of each image; the names of the answers if left out.
            lesion: A lesion to leave out for all of them, such as one that was photographed again.

        Raises:
            DataError: If another model answered.
        """
        if answers.sha256 != self.about.model_sha256:
            raise DataError(
                f"{self.path}: expected answers of {self.about.model}, which made the gallery "
                f"({self.about.model_sha256[:12]}), but got answers of {answers.description.name} "
                f"({answers.sha256[:12]}). Embeddings of two models cannot be compared: make the gallery "
                'again with "lesionwise gallery --model".'
            )
        if answers.embedding is None:
            raise DataError(f"{self.path}: the answers have no embedding.")
        unknown = [""] * len(answers)
        pairs = zip(answers.image_ids or unknown, answers.names or unknown, strict=True)
        ids = image_ids or [given or name for given, name in pairs]
        own = [{lesion, *self._lesions_called.get(image_id_of(image_id), ())} for image_id in ids]
        return [
            [self._entry(row, distance) for row, distance in near]
            for near in self.nearest(unit_length(answers.embedding), count, leave_out=own)
        ]

    def neighbours(self, rows: Sequence[int], count: int = COUNT) -> list[list[tuple[int, float]]]:
        """Return the nearest other lesions of some of its own images, as rows with distances."""
        own = [{self.columns["lesion_id"][row]} for row in rows]
        return self.nearest(self.embeddings[list(rows)], count, leave_out=own)

    def rows_of(self, image_ids: Container[str]) -> list[int]:
        """Return the rows of those images that it holds; none at all is an error."""
        rows = [row for row, image_id in enumerate(self.columns["image_id"]) if image_id in image_ids]
        if not rows:
            raise DataError(f"{self.path}: holds none of the images. Make a gallery of this folder.")
        return rows

    def percentile(self, distance: float) -> float:
        """Return the part of the gallery's own images that have a nearer lesion than this, from 0 to 1."""
        if not len(self.reference):  # one lesion alone has no other to be near
            return 1.0
        return float(np.searchsorted(self.reference, distance) / len(self.reference))

    def nearest(
        self, units: Float32s, count: int, *, leave_out: Sequence[Iterable[str]]
    ) -> list[list[tuple[int, float]]]:
        """Return the nearest image of each of the nearest lesions, as rows with distances.

        Args:
            units: Embeddings of length 1, shape (B, D).
            leave_out: Lesions to leave out, for each of them.
        """
        return [self._walk(unit, count, set(away)) for unit, away in zip(units, leave_out, strict=True)]

    def _walk(self, unit: Float32s, count: int, away: set[str]) -> list[tuple[int, float]]:
        """Return the first image of each lesion, the nearest first; look at more images if these are few."""
        lesions = self.columns["lesion_id"]
        look, reach = self.shortlist.look_around(unit), min(len(self), _REACH * (count + 1))
        while True:
            rows, limit = look(reach)
            distances = 1 - np.vecdot(self.embeddings[rows], unit)
            order = np.argsort(distances, kind="stable")
            order = order[distances[order] <= limit]
            near, distances = rows[order], distances[order]
            met = away | {lesions[row] for row in near[distances < SAME]}
            found: list[tuple[int, float]] = []
            for row, distance in zip(near.tolist(), distances.tolist(), strict=True):
                if lesions[row] not in met and len(found) < count:
                    met.add(lesions[row])
                    found.append((row, max(0.0, distance)))
            if len(found) == count or reach == len(self):
                return found
            reach = min(len(self), 4 * reach)

    @cached_property
    def _lesions_called(self) -> Mapping[str, list[str]]:
        """The lesions of images by the name of the image, in any folder and file format."""
        lesions = defaultdict[str, list[str]](list)
        for image_id, lesion in zip(self.columns["image_id"], self.columns["lesion_id"], strict=True):
            lesions[image_id_of(image_id)].append(lesion)
        return lesions

    def _entry(self, row: int, distance: float) -> Similar:
        own = {name: values[row] for name, values in self.columns.items()}
        return Similar(
            **{name: own[name] for name in ("image_id", "lesion_id", "dx", "sex", "localization")},
            licence=own["license"],
            age=float(own["age"]) if own["age"] else None,
            distance=distance,
            percentile=self.percentile(distance),
            picture=self.pictures[row] if self.pictures else None,
        )

    def _measure_reference(self) -> Float32s:
        rows = np.random.default_rng(0).permutation(len(self))[:_SAMPLED].tolist()
        found = [near[0][1] for near in self.neighbours(rows, 1) if near]
        return np.sort(np.array(found, np.float32))

    def write(self) -> Self:
        """Write its file, whole or not at all."""
        arrays: dict[str, NDArray[Any]] = {
            "embeddings": np.asarray(self.embeddings, np.float32),
            "reference": self.reference,
            "columns": np.frombuffer(json.dumps(dict(self.columns)).encode(), np.uint8),
            **self.shortlist.arrays(),
        }
        if self.pictures:
            ends = np.cumsum([0, *map(len, self.pictures)])
            arrays |= {
                "picture_ends": ends.astype(np.int64),
                "pictures": np.frombuffer(b"".join(self.pictures), np.uint8),
            }
        write_arrays(self.path, arrays, {_RECORD: self.about.model_dump_json()})
        return self


class _Pictures(Sequence[bytes]):
    """Pictures that stay in the file until one is asked for."""

    def __init__(self, content: NDArray[np.uint8], ends: Integers) -> None:
        self._content, self._ends = content, ends

    def __len__(self) -> int:
        return len(self._ends) - 1

    def __getitem__(self, row: Any) -> Any:  # noqa: ANN401 (as a Sequence has it; only numbers are asked for)
        return self._content[self._ends[row] : self._ends[row + 1]].tobytes()


def unit_length(embeddings: Float32s) -> Float32s:
    """Return embeddings of length 1, shape (N, D); one without a direction stays zero."""
    lengths = np.linalg.norm(embeddings, axis=1, keepdims=True)
    return np.asarray(embeddings / np.where(lengths > 0, lengths, 1), np.float32)


def load_gallery(path: str | Path, model: Engine | None = None) -> Gallery:
    """Open a gallery: `load_gallery("gallery.safetensors", model).similar(model.predict("mole.jpg"))`.

    The file is mapped into memory and read where it is used; nothing from it is executed.

    Args:
        path: A file of `lesionwise gallery`.
        model: The model that will answer; a gallery of another one is refused.

    Raises:
        DataError: If the file is no gallery, damaged, of a newer schema, or made with another model.
    """
    path = Path(path)
    arrays, record = map_arrays(path)
    try:
        about = About.model_validate_json(record.get(_RECORD, ""))
        columns = json.loads(arrays["columns"].tobytes())
        embeddings, reference = arrays["embeddings"], arrays["reference"]
        pictures = _Pictures(arrays["pictures"], arrays["picture_ends"]) if "pictures" in arrays else ()
        _verify_whole(columns, embeddings, pictures)
        shortlist = Shortlist.read(arrays, embeddings)
    except (ValidationError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{path}: is not a gallery that this version of lesionwise reads. Make one with "
            f'"lesionwise gallery DIR --out {path}".'
        ) from error
    if model is not None:
        verify_fits(about, model, path)
    return Gallery(
        path, about, columns, embeddings, pictures=pictures, reference=reference, shortlist=shortlist
    )


def _verify_whole(
    columns: Mapping[str, Sequence[str]], embeddings: Float32s, pictures: Sequence[bytes]
) -> None:
    """Make sure that every image has its values; else a ValueError."""
    lengths = {len(columns[name]) for name in COLUMNS} | ({len(pictures)} if pictures else set())
    if lengths != {len(embeddings)} or embeddings.ndim != 2 or not set(columns["dx"]) <= set(CODES):  # noqa: PLR2004 (N, D)
        raise ValueError("Expected a value of each column for each image.")


def verify_fits(about: About, model: Engine, path: Path) -> None:
    """Refuse a gallery that was made with another model, or in another precision."""
    for what, theirs, own in (
        ("the model", about.model_sha256, model.bundle.sha256),
        ("the precision", about.precision, model.precision),
    ):
        if theirs != own:
            raise DataError(
                f"{path}: was made with {about.model} in {about.precision} ({about.model_sha256[:12]}), and "
                f"{what} is now {model.description.name} in {model.precision} ({model.bundle.sha256[:12]}). "
                "Distances would mean nothing: pass the same model, or make the gallery again."
            )
