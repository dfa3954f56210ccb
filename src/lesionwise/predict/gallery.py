"""Making a gallery of a labelled folder: every image through the pipeline of `lesionwise predict`.

Here: embeddings, pictures and columns of new images, and adding them to an existing gallery. Not here: the
gallery itself (`lesionwise.gallery.gallery`).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from itertools import repeat
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import simplejpeg
from PIL import Image

from lesionwise import __version__
from lesionwise.arrays import Float32s, Pixels
from lesionwise.bundle.answers import Answers
from lesionwise.bundle.engine import Engine
from lesionwise.cluster import joined
from lesionwise.data.collection import collection_of
from lesionwise.data.dataset import Dataset
from lesionwise.data.images import read_content
from lesionwise.data.pictures import Picture
from lesionwise.errors import BundleError, DataError
from lesionwise.execution import Execution
from lesionwise.gallery.gallery import COLUMNS, About, Gallery, unit_length
from lesionwise.predict.files import Decoded, answer_pictures
from lesionwise.predict.ray import Shared, Work, share_out
from lesionwise.split.groups import lesion_groups

PICTURE_PX: Final = 240
"""Longer side of the pictures in a gallery."""
_QUALITY: Final = 85
_HAM10000_LICENCE: Final = "CC BY-NC 4.0 (HAM10000: Tschandl, Rosendahl, Kittler 2018)"
_NOT_STATED: Final = "not stated"


@dataclass(frozen=True)
class _Look:
    """The data of an image in a gallery, besides its row of the table."""

    image_id: str
    sha256: str
    unit: Float32s
    picture: bytes


def make_gallery(
    engine: Engine,
    dataset: Dataset,
    path: str | Path,
    *,
    earlier: Gallery | None = None,
    pictures: bool = False,
    licence: str = "",
    execution: Execution = Execution(),
) -> tuple[Gallery, list[list[str]]]:
    """Return a gallery of a labelled folder, not yet written, and the images that could not be read.

    Args:
        path: File of the gallery.
        earlier: A gallery whose images come first. Files that it contains already are left out.
        pictures: Keep a small picture of each image.
        licence: Licence of the images; that of HAM10000, or those of the table, if left out.

    Returns:
        The gallery, and image id, path and reason of each image that could not be read.

    Raises:
        BundleError: If the model gives no embedding.
        DataError: If no image can be read, or only one of the two galleries has pictures.
    """
    if "embedding" not in engine.description.outputs:
        raise BundleError(
            f"{engine.bundle.path}: gives no embedding, which is needed to compare lesions. Use best or "
            'larger, or a model of "lesionwise bundle export".'
        )
    if earlier is not None and bool(earlier.pictures) != pictures:
        has, advice = ("has", "Add") if earlier.pictures else ("has no", "Leave out")
        raise DataError(
            f"{earlier.path}: {has} pictures, and all images of a gallery must be alike in that. {advice} "
            "--pictures."
        )
    hashes = frozenset(earlier.columns["sha256"]) if earlier is not None else frozenset[str]()
    looks, faults = _collect(engine, dataset, hashes, pictures=pictures, execution=execution)
    if not looks and earlier is None:
        raise DataError(f"{dataset.folder}: none of its images could be read.")
    table, units = _columns(dataset, looks), [look.unit for look in looks]
    kept = [look.picture for look in looks] if pictures else []
    licences = [licence or _licence(table)] if looks else []
    if earlier is not None:
        table = pd.concat([pd.DataFrame(dict(earlier.columns)), table], ignore_index=True)
        units, kept = [earlier.embeddings, *units], [*earlier.pictures, *kept]
        licences = [earlier.about.licence, *licences]
    table["lesion_id"] = lesion_groups(table)
    about = About(
        model=engine.description.name,
        model_sha256=engine.bundle.sha256,
        precision=engine.precision,
        collection=collection_of(table["image_id"]),
        licence="; ".join(dict.fromkeys(text or _NOT_STATED for text in licences)) if any(licences) else "",
        created=datetime.now(UTC).date(),
        package_version=__version__,
    )
    columns = {name: table[name].tolist() for name in COLUMNS}
    return Gallery(Path(path), about, columns, np.vstack(units), pictures=kept), faults


def _collect(
    engine: Engine, dataset: Dataset, held: frozenset[str], *, pictures: bool, execution: Execution
) -> tuple[list[_Look], list[list[str]]]:
    """Run the images of a folder through the model, but for the files that are held already."""
    waiting = (
        Picture(image_id, str(path), partial(read_content, path), named=True)
        for image_id, path in zip(dataset.table["image_id"], dataset.paths, strict=True)
    )
    looks, faults = list[_Look](), list[list[str]]()
    look, done = partial(_look, small=pictures), 0
    if execution.engine == "ray":
        results = _share_out(Work(engine.bundle, engine.precision, look, held=held), waiting)
    else:
        results = (
            (look(batch, answers) if answers is not None else [], batch.faults, batch.size)
            for batch, answers in answer_pictures(engine, waiting, workers=execution.workers, held=held)
        )
    for found, wrong, size in results:
        looks += found
        faults += wrong
        done += size
        execution.progress.on_work("looking at images", done, len(dataset.table))
    return looks, faults


def _share_out(work: Work, waiting: Iterator[Picture]) -> Iterator[Shared]:
    with joined() as ray:
        yield from share_out(ray, work, waiting)


def _look(batch: Decoded, answers: Answers, *, small: bool) -> list[_Look]:
    """Return what is kept of each picture of a batch."""
    if answers.embedding is None or batch.pixels is None:
        return []
    units = unit_length(answers.embedding)
    pictures = map(_small_jpeg, batch.pixels) if small else repeat(b"")
    ids = (picture.image_id for picture in batch.pictures)
    return list(map(_Look, ids, batch.hashes, units, pictures))


def _small_jpeg(pixels: Pixels) -> bytes:
    scale = PICTURE_PX / max(pixels.shape[:2])
    size = (round(pixels.shape[1] * scale), round(pixels.shape[0] * scale))
    small = np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BOX))
    return bytes(simplejpeg.encode_jpeg(small, quality=_QUALITY))


def _columns(dataset: Dataset, looks: Sequence[_Look]) -> pd.DataFrame:
    """Return the columns of the images that were read, as text; unknown values are empty."""
    table = dataset.table.set_index("image_id", drop=False).loc[[look.image_id for look in looks]]
    own = {name: _texts(table[name]) if name in table else [""] * len(table) for name in COLUMNS}
    return pd.DataFrame({**own, "sha256": [look.sha256 for look in looks]}, columns=list(COLUMNS))


def _texts(column: "pd.Series[Any]") -> Sequence[str]:
    return [
        "" if pd.isna(value) or value == "unknown" else f"{value:g}" if isinstance(value, float) else value
        for value in column.tolist()
    ]


def _licence(table: pd.DataFrame) -> str:
    """Return the licences of some images, as far as they are known."""
    if collection_of(table["image_id"]) == "HAM10000":
        return _HAM10000_LICENCE
    return ", ".join(sorted(set(table["license"]) - {""}))
