"""Many images through a bundle: decoding, network and writing at the same time.

Here: the pipeline of `lesionwise predict`. Not here: finding images (`lesionwise.data.pictures`), tables
(`writing`), and answers in words (`lesionwise.bundle.rendering`).
"""

from collections import Counter, deque
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256
from itertools import islice, repeat
from pathlib import Path
from typing import TypeVar, get_args

import numpy as np

from lesionwise.arrays import Pixels
from lesionwise.bundle.answers import Answers
from lesionwise.bundle.decide import Decision
from lesionwise.bundle.engine import BATCH, Engine
from lesionwise.data.images import open_image
from lesionwise.data.pictures import Picture
from lesionwise.errors import ImageError, MissingExtraError
from lesionwise.execution import usable_cores
from lesionwise.predict.metadata import MetadataTable
from lesionwise.predict.similar import SIMILAR_COLUMNS, SimilarFinder
from lesionwise.predict.views import run_views, verify_views_add
from lesionwise.predict.writing import (
    Format,
    GrowingTable,
    Kept,
    drop_error_table,
    error_table,
    prediction_table,
    table_rows,
)

Given = TypeVar("Given")
Made = TypeVar("Made")
OnDone = Callable[[int], None]
OnAnswers = Callable[[list[Picture], Pixels, Answers], None]
_AHEAD = 2  # batches that wait between two stages, so that neither stage is idle


@dataclass
class Tally:
    """The number of images by outcome.

    Attributes:
        predicted: Written in this call.
        kept: Written by an earlier call.
        failed: Listed among the errors.
        repeated: Left out, because the same file came before.
        several: Contain several pictures, of which the first was predicted.
        decisions: Number of images by decision, of those written in this call.
    """

    predicted: int = 0
    kept: int = 0
    failed: int = 0
    repeated: int = 0
    several: int = 0
    decisions: Counter[str] = field(default_factory=Counter)

    @property
    def done(self) -> int:
        """Number of images that are finished."""
        return self.predicted + self.kept + self.failed + self.repeated

    @property
    def by_decision(self) -> dict[str, int]:
        """Number of images of this call by decision, each decision named; empty if none was predicted."""
        return {name: self.decisions[name] for name in get_args(Decision)} if self.decisions else {}

    def to_json(self) -> dict[str, object]:
        """Return the counts for `predict --json`."""
        return {
            "predicted": self.predicted,
            "kept": self.kept,
            "repeated": self.repeated,
            "failed": self.failed,
            "several_pictures": self.several,
            "decisions": self.by_decision,
        }

    def add(self, batch: "Decoded", answers: Answers | None) -> None:
        """Count a batch."""
        self.failed += len(batch.faults)
        self.several += batch.several
        if answers is not None:
            self.predicted += len(answers)
            self.decisions.update(map(str, answers.decisions.decision))


@dataclass(frozen=True)
class Decoded:
    """A batch that was read.

    Attributes:
        pictures: Those that could be read.
        pixels: Input of the graph, shape (B, H, W, 3); None if no picture could be read.
        several: Number of files with several pictures, of which the first is read.
        hashes: SHA-256 of each file, if requested.
        held: Number of files that were left out because they are held already.
    """

    pictures: list[Picture]
    pixels: Pixels | None
    faults: list[list[str]]
    several: int = 0
    hashes: list[str] = field(default_factory=list)
    held: int = 0

    @property
    def size(self) -> int:
        """How many pictures the batch had."""
        return len(self.pictures) + len(self.faults) + self.held


@dataclass(frozen=True)
class Output:
    """Where predictions go.

    Attributes:
        errors: CSV of the images that could not be predicted, with reasons; not written if there are none.
        resume: Keep the rows that an interrupted call left beside `table`.
        on_answers: Called with each batch: pictures, pixels (B, H, W, 3) and answers.
        similar: Finds the similar lesions for each row; None for a table without them.
        settings: Further settings that a resumed call must share, as JSON values.
    """

    table: Path
    errors: Path
    format_: Format = "lesionwise"
    resume: bool = False
    on_answers: OnAnswers | None = None
    similar: SimilarFinder | None = None
    settings: Mapping[str, object] = field(default_factory=dict)


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
        pictures: Read lazily: memory holds only two hashes of each picture.
        workers: Number of decoding threads; the number of usable cores if left out.

    Raises:
        DataError: If a place holds no images, the table to resume was started with other settings, or
            `output.errors` is another kind of file.
        BundleError: If the model averages the views of `tta` itself.
    """
    tally = Tally()
    settings = settings_of(engine, output, tta=tta, metadata=metadata)
    similar = output.similar
    with opened_tables(output, settings, pictures, tally) as (table, faults, fresh):
        for batch, answers in answer_pictures(engine, fresh, tta=tta, metadata=metadata, workers=workers):
            if batch.faults:
                faults.append(batch.faults)
            if answers is not None and batch.pixels is not None:
                if output.on_answers:  # before the rows, because a resumed call continues after these
                    output.on_answers(batch.pictures, batch.pixels, answers)
                rows = table_rows(output.format_, batch.pictures, answers)
                cells = similar.cells(answers, batch.pictures) if similar else repeat([])
                table.append([*row, *further] for row, further in zip(rows, cells, strict=False))
            tally.add(batch, answers)
            if on_done:
                on_done(tally.done)
    return tally


@contextmanager
def opened_tables(
    output: Output, settings: Mapping[str, object], pictures: Iterable[Picture], tally: Tally
) -> Iterator[tuple[GrowingTable, GrowingTable, Iterator[Picture]]]:
    """Yield the tables of predictions and errors, and the pictures that are not written yet."""
    further = SIMILAR_COLUMNS if output.similar else ()
    with (
        prediction_table(output.table, output.format_, further) as table,
        error_table(output.errors) as faults,
    ):
        kept = table.begin(settings, resume=output.resume)
        yield table, faults, fresh_pictures(pictures, kept, tally, faults.append)
    if not tally.failed:
        drop_error_table(output.errors)


def answer_pictures(
    engine: Engine,
    pictures: Iterable[Picture],
    *,
    tta: bool = False,
    metadata: MetadataTable | None = None,
    workers: int | None = None,
    held: Container[str] | None = None,
) -> Iterator[tuple[Decoded, Answers | None]]:
    """Yield batches of pictures in their order, each with its answers; None if there are none.

    Args:
        pictures: Read lazily.
        tta: Average over flips; see `views`.
        held: As `decode` takes it.
    """
    workers = workers or usable_cores()
    with ThreadPoolExecutor(workers) as decoders, ThreadPoolExecutor(engine.streams) as network:
        decoded = map_ahead(
            decoders, partial(decode, engine, held=held), _batches(pictures), workers + _AHEAD
        )
        answering = partial(answer, engine, tta=tta, metadata=metadata)
        yield from map_ahead(network, answering, decoded, engine.streams + _AHEAD)


def settings_of(
    engine: Engine, output: Output, *, tta: bool, metadata: MetadataTable | None = None
) -> dict[str, object]:
    """Return the settings that a resumed call must share, whichever engine does the work."""
    if tta:
        verify_views_add(engine)
    return {
        "model": engine.bundle.sha256,
        "--format": output.format_,
        "--tta": tta,
        "--precision": engine.precision,
        "metadata": metadata and metadata.fingerprint,
        **(output.similar.settings if output.similar else {}),
        **output.settings,
    }


def fresh_pictures(
    pictures: Iterable[Picture], kept: Kept, tally: Tally, on_faults: Callable[[list[list[str]]], None]
) -> Iterator[Picture]:
    """Yield the pictures that are not written yet, no file and no name twice.

    Pictures are remembered as 64-bit hashes: in a million, two are equal once in 37 million calls.

    Args:
        on_faults: Called with rows of the table of errors: names that are taken.
    """
    names: set[int] = set()
    paths: set[int] = set()
    for picture in pictures:
        taken = ""
        if hash(picture.path) in paths and not picture.named:
            tally.repeated += 1
            continue
        if hash(picture.image_id) in names:
            taken = "another image has this image_id"
        elif kept.holds(picture):
            tally.kept += 1
        elif kept.has_name_of(picture):
            taken = "another image in the table has this image_id; predict both in one call"
        else:
            yield picture
        if taken:
            on_faults([[picture.image_id, picture.path, taken]])
            tally.failed += 1
        names.add(hash(picture.image_id))
        paths.add(hash(picture.path))


def decode(engine: Engine, pictures: list[Picture], *, held: Container[str] | None = None) -> Decoded:
    """Read some pictures by the rule of the model; those that cannot be read become faults.

    Args:
        held: SHA-256 of files to leave out. No file is hashed if this is None.
    """
    read, pixels, faults, hashes, several, left_out = [], [], [], [], 0, 0
    rule = engine.description.input
    for picture in pictures:
        try:
            content = picture.read()
            digest = "" if held is None else sha256(content).hexdigest()
            if held is not None and digest in held:
                left_out += 1
                continue
            with open_image(content) as opened:
                pixels.append(opened.read(rule.size, steps=rule.steps))
                several += opened.pictures > 1
        except (ImageError, MissingExtraError) as error:  # concerns only this file
            faults.append([picture.image_id, picture.path, str(error)])
        else:
            read.append(picture)
            hashes.append(digest)
    return Decoded(read, np.stack(pixels) if pixels else None, faults, several, hashes, left_out)


def answer(
    engine: Engine, batch: Decoded, *, tta: bool, metadata: MetadataTable | None = None
) -> tuple[Decoded, Answers | None]:
    """Run a batch through the model, and return it with the answers, if there are any."""
    if batch.pixels is None:
        return batch, None
    run = run_views if tta else Engine.run
    known = None if metadata is None else metadata.numbers_of(batch.pictures)
    return batch, engine.answers([run(engine, batch.pixels, known)])


def _batches(items: Iterable[Given]) -> Iterator[list[Given]]:
    waiting = iter(items)
    while batch := list(islice(waiting, BATCH)):
        yield batch


def map_ahead(
    pool: Executor, function: Callable[[Given], Made], items: Iterable[Given], ahead: int
) -> Iterator[Made]:
    """Yield the results in order while up to `ahead` further ones are being worked on."""
    pending: deque[Future[Made]] = deque()
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
