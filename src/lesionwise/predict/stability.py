"""The answers of a bundle to pictures before and after harmless changes.

Not here: the changes (`lesionwise.data.perturbations`) and the shares (`lesionwise.evaluation.stability`).

Each changed picture is compared with its original from a file of the same kind: a JPEG with the file as it
is, pixels with the pixels of the file as a PNG would store them. So each row shows its change alone. Letters:
K ways of one picture.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lesionwise.arrays import Float32s, Integers, Pixels
from lesionwise.bundle.decide import decide
from lesionwise.bundle.engine import BATCH, Engine
from lesionwise.bundle.precision import computable_precisions
from lesionwise.data.dataset import Dataset
from lesionwise.data.images import open_image
from lesionwise.data.perturbations import HARMLESS, SAVED, change
from lesionwise.evaluation.stability import Decided, Stability, measure_stability
from lesionwise.execution import usable_cores
from lesionwise.predict.files import map_ahead
from lesionwise.progress import SILENT, Progress

if TYPE_CHECKING:
    from lesionwise.bundle.description import Precision

AS_PNG: Final = "PNG"
BF16: Final = "bf16"
_JPEG_START: Final = b"\xff\xd8"
_FILE: Final = "file"
_PIXELS: Final = "pixels"
_WAYS: Final = (_FILE, _PIXELS, *HARMLESS)


class _Source(NamedTuple):
    """A picture, and its encoded metadata, shape (1, M)."""

    path: Path
    image_id: str
    metadata: Float32s | None


def stability_of(
    engine: Engine,
    dataset: Dataset,
    rows: Integers,
    groups: NDArray[np.str_],
    *,
    progress: Progress = SILENT,
) -> Stability:
    """Return how often a model's answers stay the same after small changes of the pictures.

    The row `PNG` compares a file with a PNG of its pixels; it exists if a file is a JPEG. The row `bf16`
    exists if this processor computes in bf16 and the graph is not one of int8.

    Raises:
        ImageError: If a file cannot be read; the message names it.
    """
    cores = usable_cores()
    formats: list[Precision] = [engine.precision]
    if engine.runtime == "openvino" and "bf16" in computable_precisions(engine.description):
        formats.append("bf16")
    # One stream for each core, because one thread reads and answers each picture.
    engines = [
        Engine(engine.bundle, runtime=engine.runtime, streams=cores, precision=precision)
        for precision in formats
    ]
    answers = []
    with ThreadPoolExecutor(cores) as pool:
        pictures = _pictures(engine, dataset, rows)
        for found in map_ahead(pool, partial(_ask, engines), pictures, ahead=2 * cores):
            answers.append(found)
            progress.on_work("changing pictures", len(answers), len(rows))
    prob, foreign = np.stack([one[0] for one in answers]), np.stack([one[1] for one in answers])
    decided = {}
    for way, name in enumerate([*_WAYS, *([BF16] if len(formats) > 1 else [])]):
        decisions = decide(engine.description, prob[:, way], foreign[:, way])
        decided[name] = Decided(decisions.top, decisions.decision, decisions.above_melanoma_threshold)
    with_png = any(is_jpeg for _, _, is_jpeg in answers)
    return measure_stability(_pairs(decided, with_png=with_png), dataset.y[rows], groups)


def _pictures(engine: Engine, dataset: Dataset, rows: Integers) -> Iterator[_Source]:
    paths, ids = dataset.paths, dataset.table["image_id"].to_numpy(str)
    for row in rows:
        yield _Source(paths[row], ids[row], engine.encode(engine.known(dataset, [row]) or [None]))


def _ask(engines: Sequence[Engine], picture: _Source) -> tuple[Float32s, Float32s, bool]:
    """Return probabilities (K, C) and rejection scores (K,) of a picture in all ways, and if it is a JPEG."""
    pixels, is_jpeg = _read(engines[0], picture)
    outputs = [*_run(engines[0], pixels, picture.metadata)]
    for lower in engines[1:]:
        outputs += _run(lower, pixels[:1], picture.metadata)
    prob, foreign = (np.concatenate(values) for values in zip(*outputs, strict=True))
    return prob, foreign, is_jpeg


def _run(engine: Engine, pixels: Pixels, metadata: Float32s | None) -> Iterator[tuple[Float32s, Float32s]]:
    """Yield probabilities (at most BATCH, C) and rejection scores of one picture's ways."""
    for start in range(0, len(pixels), BATCH):
        batch = pixels[start : start + BATCH]
        found = engine.run(batch, None if metadata is None else np.repeat(metadata, len(batch), axis=0))
        yield found["probabilities"], found.get("ood_score", np.full(len(batch), -np.inf, np.float32))


def _read(engine: Engine, picture: _Source) -> tuple[Pixels, bool]:
    """Return one picture in all ways, as the graph takes it, shape (K, H, W, 3); and if it is a JPEG."""
    as_file = engine.read(picture.path)
    with open_image(picture.path) as opened:
        width, height = opened.upright_sides
        pixels = opened.read((height, width))
    changed = [engine.read(change(pixels, name, image_id=picture.image_id)) for name in HARMLESS]
    with picture.path.open("rb") as file:
        is_jpeg = file.read(len(_JPEG_START)) == _JPEG_START
    return np.stack([as_file, engine.read(pixels), *changed]), is_jpeg


def _pairs(decided: dict[str, Decided], *, with_png: bool) -> Iterator[tuple[str, Decided, Decided]]:
    """Yield each change with the answers before and after it."""
    for name in HARMLESS:
        yield name, decided[_FILE if name in SAVED else _PIXELS], decided[name]
    if with_png:
        yield AS_PNG, decided[_FILE], decided[_PIXELS]
    if BF16 in decided:
        yield BF16, decided[_FILE], decided[BF16]
