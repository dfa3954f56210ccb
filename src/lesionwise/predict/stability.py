"""Asking a bundle about pictures before and after harmless changes.

Not here: the changes (`lesionwise.data.harmless`) and the shares (`lesionwise.evaluation.stability`).

A changed picture is held against the picture that it was made of, read from a file of the same kind: a JPEG
against the file as it is, pixels against the pixels of the file as a PNG would keep them. So each row shows
its change alone. Letters: K ways of one picture.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lesionwise.bundle.decide import decide
from lesionwise.bundle.engine import BATCH, Engine
from lesionwise.bundle.precision import computable_precisions
from lesionwise.data.dataset import Dataset
from lesionwise.data.harmless import HARMLESS, SAVED, change
from lesionwise.data.images import open_image
from lesionwise.data.workspace import usable_cores
from lesionwise.evaluation.stability import Said, Stability, measure_stability
from lesionwise.predict.files import map_ahead
from lesionwise.progress import SILENT, Progress

AS_PNG: Final = "PNG"
BF16: Final = "bf16"
_JPEG_START: Final = b"\xff\xd8"
_FILE: Final = "file"
_PIXELS: Final = "pixels"
_WAYS: Final = (_FILE, _PIXELS, *HARMLESS)

Pixels = NDArray[np.uint8]
Float32s = NDArray[np.float32]


class _Models(NamedTuple):
    """The model as it is, and in bf16 where that can be."""

    full: Engine
    shortened: Engine | None


class _Source(NamedTuple):
    """A picture to ask about, and what is known besides it, encoded, shape (1, M)."""

    path: Path
    image_id: str
    metadata: Float32s | None


class _Answers(NamedTuple):
    """Probabilities (K, C) and rejection scores (K,) of one picture in all its ways."""

    prob: Float32s
    foreign: Float32s
    is_jpeg: bool


def stability_of(
    engine: Engine,
    dataset: Dataset,
    rows: NDArray[np.int64],
    groups: NDArray[np.str_],
    *,
    progress: Progress = SILENT,
) -> Stability:
    """Return how often a model's answers stay the same when pictures hardly change.

    The row `PNG` holds a file against a PNG of its pixels; it is there if a file is a JPEG. The row `bf16` is
    there if this processor computes in bf16 and the graph is not one of int8.

    Raises:
        ImageError: If a file cannot be read; the message names it.
    """
    models = _one_core_each(engine)
    answers = list(_ask_about_all(models, _pictures(engine, dataset, rows), len(rows), progress))
    names = [*_WAYS, *([BF16] if models.shortened else [])]
    prob, foreign = (np.stack([getattr(one, what) for one in answers]) for what in ("prob", "foreign"))
    said = _said(engine, names, prob, foreign)
    with_png = any(one.is_jpeg for one in answers)
    return measure_stability(_pairs(said, with_png=with_png), dataset.y[rows], groups)


def _one_core_each(engine: Engine) -> _Models:
    """Return the model with a stream for each core: a picture is read and answered by one thread alone."""
    options: dict[str, Any] = {"runtime": engine.runtime, "streams": usable_cores()}
    as_bf16 = engine.runtime == "openvino" and "bf16" in computable_precisions(engine.description)
    return _Models(
        Engine(engine.bundle, precision=engine.precision, **options),
        Engine(engine.bundle, precision="bf16", **options) if as_bf16 else None,
    )


def _pictures(engine: Engine, dataset: Dataset, rows: NDArray[np.int64]) -> Iterator[_Source]:
    encoding, paths, ids = engine.description.metadata, dataset.paths, dataset.table["image_id"].to_numpy(str)
    for row in rows:
        known = encoding.known(dataset.records([row], encoding.names)) if encoding else [None]
        yield _Source(paths[row], ids[row], engine.encode(known))


def _ask_about_all(
    models: _Models, pictures: Iterator[_Source], count: int, progress: Progress
) -> Iterator[_Answers]:
    cores = usable_cores()
    with ThreadPoolExecutor(cores) as pool:
        found = map_ahead(pool, partial(_ask, models), pictures, ahead=2 * cores)
        for number, answers in enumerate(found, start=1):
            yield answers
            progress.on_work("changing pictures", number, count)


def _ask(models: _Models, picture: _Source) -> _Answers:
    """Read one picture in all its ways and ask the model about each."""
    pixels, is_jpeg = _read(models.full, picture)
    outputs = [*_run(models.full, pixels, picture.metadata)]
    if models.shortened:
        outputs += _run(models.shortened, pixels[:1], picture.metadata)
    prob, foreign = (np.concatenate(values) for values in zip(*outputs, strict=True))
    return _Answers(prob, foreign, is_jpeg)


def _run(engine: Engine, pixels: Pixels, metadata: Float32s | None) -> Iterator[tuple[Float32s, Float32s]]:
    """Yield probabilities (at most BATCH, C) and rejection scores of one picture's ways."""
    for start in range(0, len(pixels), BATCH):
        batch = pixels[start : start + BATCH]
        found = engine.run(batch, None if metadata is None else np.repeat(metadata, len(batch), axis=0))
        yield found["probabilities"], found.get("ood_score", np.full(len(batch), -np.inf, np.float32))


def _read(engine: Engine, picture: _Source) -> tuple[Pixels, bool]:
    """Return one picture in all its ways, as the graph takes it, shape (K, H, W, 3); and if it is a JPEG."""
    as_file = engine.read(picture.path)
    with open_image(picture.path) as opened:
        width, height = opened.upright_sides
        pixels = opened.read((height, width))
    changed = [engine.read(change(pixels, name, image_id=picture.image_id)) for name in HARMLESS]
    with picture.path.open("rb") as file:
        is_jpeg = file.read(len(_JPEG_START)) == _JPEG_START
    return np.stack([as_file, engine.read(pixels), *changed]), is_jpeg


def _said(engine: Engine, names: Sequence[str], prob: Float32s, foreign: Float32s) -> dict[str, Said]:
    """Return the answers by way, from probabilities (N, K, C) and rejection scores (N, K)."""
    found = {}
    for way, name in enumerate(names):
        decisions = decide(engine.description, prob[:, way], foreign[:, way])
        found[name] = Said(decisions.top, decisions.decision, decisions.above_melanoma_threshold)
    return found


def _pairs(said: dict[str, Said], *, with_png: bool) -> Iterator[tuple[str, Said, Said]]:
    """Yield each change with the answers before and after it."""
    for name in HARMLESS:
        yield name, said[_FILE if name in SAVED else _PIXELS], said[name]
    if with_png:
        yield AS_PNG, said[_FILE], said[_PIXELS]
    if BF16 in said:
        yield BF16, said[_FILE], said[BF16]
