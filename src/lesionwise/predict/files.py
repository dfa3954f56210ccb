"""Many images through a bundle: decoding, the network and writing at the same time.

Here: the pipeline of `lesionwise predict`. Not here: finding images (`sources`) and tables (`writing`).
Letters: B batch, H W height and width in pixels.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from lesionwise.bundle.engine import BATCH, Answers, Engine
from lesionwise.data.images import read_image
from lesionwise.data.workspace import usable_cores
from lesionwise.errors import ImageError, MissingExtraError
from lesionwise.predict.metadata import MetadataTable
from lesionwise.predict.sources import Picture
from lesionwise.predict.views import run_views, verify_views_add
from lesionwise.predict.writing import (
    Format,
    GrowingTable,
    drop_error_table,
    error_table,
    prediction_table,
    table_rows,
)

Item = TypeVar("Item")
Result = TypeVar("Result")
OnDone = Callable[[int], None]
OnAnswers = Callable[[list[Picture], NDArray[np.uint8], Answers], None]
_AHEAD = 2  # batches that wait between two stages: enough that neither stands still


@dataclass
class Tally:
    """What became of the images.

    Attributes:
        predicted: Written in this call.
        kept: Written by an earlier one.
        failed: Listed among the errors.
        repeated: Left out, because the same file was met before.
    """

    predicted: int = 0
    kept: int = 0
    failed: int = 0
    repeated: int = 0

    @property
    def done(self) -> int:
        """How many were dealt with."""
        return self.predicted + self.kept + self.failed + self.repeated


@dataclass(frozen=True)
class Decoded:
    """A batch that was read.

    Attributes:
        pictures: Those that could be.
        pixels: As the graph takes them, shape (B, H, W, 3); None if none of them could be read.
        faults: Rows of the table of errors.
    """

    pictures: list[Picture]
    pixels: NDArray[np.uint8] | None
    faults: list[list[str]]


@dataclass(frozen=True)
class Output:
    """Where predictions go.

    Attributes:
        table: The CSV of predictions.
        errors: The CSV of images that could not be predicted, with reasons; not written if there are none.
        format_: Format of the predictions.
        resume: Keep what an interrupted call left beside `table`.
        on_answers: Called with each batch: pictures, pixels (B, H, W, 3) and answers.
    """

    table: Path
    errors: Path
    format_: Format = "lesionwise"
    resume: bool = False
    on_answers: OnAnswers | None = None


def predict_files(
    engine: Engine,
    pictures: Iterable[Picture],
    output: Output,
    *,
    tta: bool = False,
    metadata: MetadataTable | None = None,
    workers: int | None = None,
    on_done: OnDone | None = None,
) -> Tally:
    """Predict images and write one table of predictions and one of errors.

    Args:
        pictures: What to predict; read lazily, so that memory does not grow with their number, but for two
            hashes of each that was met.
        workers: Decoding threads; the number of usable cores if left out.

    Raises:
        DataError: If a place holds no images, the table to resume was started with other settings, or
            `output.errors` names something else.
        BundleError: If the model averages the views of `tta` itself.
    """
    workers, tally = workers or usable_cores(), Tally()
    settings = settings_of(engine, format_=output.format_, tta=tta, metadata=metadata)
    with (
        prediction_table(output.table, output.format_) as table,
        error_table(output.errors) as faults,
        ThreadPoolExecutor(workers) as decoders,
        ThreadPoolExecutor(engine.streams) as network,
    ):
        kept = table.begin(settings, resume=output.resume)
        fresh = fresh_pictures(pictures, kept, tally, faults)
        answering = partial(answer, engine, tta=tta, metadata=metadata)
        decoded = map_ahead(decoders, partial(decode, engine), _batches(fresh), workers + _AHEAD)
        for batch, answers in map_ahead(network, answering, decoded, engine.streams + _AHEAD):
            if batch.faults:
                faults.append(batch.faults)
                tally.failed += len(batch.faults)
            if answers is not None and batch.pixels is not None:
                if output.on_answers:  # before the rows, after which a resumed call goes on
                    output.on_answers(batch.pictures, batch.pixels, answers)
                table.append(table_rows(output.format_, batch.pictures, answers, engine.bundle))
                tally.predicted += len(batch.pictures)
            if on_done:
                on_done(tally.done)
    if not tally.failed:
        drop_error_table(output.errors)
    return tally


def settings_of(
    engine: Engine, *, format_: Format, tta: bool, metadata: MetadataTable | None = None
) -> dict[str, object]:
    """Return what two calls must share for one to go on after the other, whichever engine does the work.

    Raises:
        BundleError: If the model averages these views itself.
    """
    if tta:
        verify_views_add(engine)
    return {
        "model": engine.bundle.sha256,
        "format": format_,
        "tta": tta,
        "precision": engine.precision,
        "metadata": metadata and metadata.sha256,
    }


@dataclass
class _Met:
    """What was met so far, as 64-bit hashes: of a million two are alike once in 37 million calls."""

    names: set[int] = field(default_factory=set)
    paths: set[int] = field(default_factory=set)

    def add(self, picture: Picture) -> None:
        self.names.add(hash(picture.image_id))
        self.paths.add(hash(picture.path))


def fresh_pictures(
    pictures: Iterable[Picture], kept: set[int], tally: Tally, faults: GrowingTable
) -> Iterator[Picture]:
    """Yield the pictures that are not written yet, no file and no name twice."""
    met = _Met()
    for picture in pictures:
        if hash(picture.path) in met.paths and not picture.named:
            tally.repeated += 1
            continue
        if hash(picture.image_id) in met.names:
            faults.append([[picture.image_id, picture.path, "another image has this image_id"]])
            tally.failed += 1
        elif hash(picture.image_id) in kept:
            tally.kept += 1
        else:
            yield picture
        met.add(picture)


def decode(engine: Engine, pictures: list[Picture]) -> Decoded:
    """Read some pictures by the model's rule; those that cannot be read become faults."""
    read, pixels, faults = [], [], []
    rule = engine.description.input
    for picture in pictures:
        try:
            pixels.append(read_image(picture.read(), rule.size, steps=rule.steps))
        except (ImageError, MissingExtraError) as error:  # of this file alone; the others are answered
            faults.append([picture.image_id, picture.path, str(error)])
        else:
            read.append(picture)
    return Decoded(read, np.stack(pixels) if pixels else None, faults)


def answer(
    engine: Engine, batch: Decoded, *, tta: bool, metadata: MetadataTable | None = None
) -> tuple[Decoded, Answers | None]:
    """Run a batch through the model, and return it with the answers, if there are any."""
    if batch.pixels is None:
        return batch, None
    run = run_views if tta else Engine.run
    known = None if metadata is None else metadata.numbers_of(batch.pictures)
    return batch, engine.answers([run(engine, batch.pixels, known)])


def _batches(items: Iterable[Item]) -> Iterator[list[Item]]:
    waiting = iter(items)
    while batch := list(islice(waiting, BATCH)):
        yield batch


def map_ahead(
    pool: Executor, function: Callable[[Item], Result], items: Iterable[Item], ahead: int
) -> Iterator[Result]:
    """Yield the results in order while up to `ahead` further ones are being worked on."""
    pending: deque[Future[Result]] = deque()
    try:
        for item in items:
            pending.append(pool.submit(function, item))
            if len(pending) > ahead:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        for future in pending:
            future.cancel()
