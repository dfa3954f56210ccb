"""Many images through a bundle on the machines of a Ray cluster.

Here: the pipeline of `lesionwise predict --engine ray`, on Ray Data, and sharing out the images, also for
`lesionwise gallery --engine ray`. Not here: decoding, answering and rows, which are the same as on one
machine (`files`, `writing`), and the connection (`lesionwise.cluster`).

Names are sent out, and results come back in the order of the names. Only this process writes. So the result
is the same as on one machine, `--resume` continues it, and Ray gives the work of a lost machine to another
one.
"""

import logging
import pickle
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from lesionwise.bundle.answers import Answers
from lesionwise.bundle.description import Precision
from lesionwise.bundle.engine import BATCH, Engine
from lesionwise.bundle.load import Bundle
from lesionwise.cluster import joined
from lesionwise.data.pictures import Picture
from lesionwise.errors import DataError, LesionwiseError
from lesionwise.predict.files import (
    Decoded,
    OnDone,
    Output,
    Tally,
    answer,
    decode,
    opened_tables,
    settings_of,
)
from lesionwise.predict.writing import Format, table_rows

if TYPE_CHECKING:
    from types import ModuleType

WINDOW: Final = 100_000  # pictures that are sent out at a time, which limits the memory of this process
BLOCK: Final = 8 * BATCH  # pictures of one task: some seconds of work that a lost machine can cost
_AGAIN: Final = 'Run the command again; "lesionwise predict" continues with --resume.'
Shared = tuple[list[Any], list[list[str]], int]
"""Results for some pictures, their faults, and the number of these pictures."""
_engines: dict[tuple[str, str], Engine] = {}  # of a worker process, which does many tasks


@dataclass(frozen=True)
class Work:
    """What a machine does with its pictures.

    Attributes:
        values: What is wanted of each picture of a batch that was read.
        held: As `decode` takes it.
    """

    bundle: Bundle
    precision: Precision
    values: Callable[[Decoded, Answers], Sequence[Any]]
    tta: bool = False
    held: Container[str] | None = None


def predict_with_ray(
    engine: Engine,
    pictures: Iterable[Picture],
    output: Output,
    *,
    tta: bool = False,
    on_done: OnDone | None = None,
) -> Tally:
    """Predict images on a cluster and write the same tables as `predict_files`.

    Args:
        pictures: Every machine must reach files of folders under the same path.
        output: Where the results go; its `on_answers` is not called.

    Raises:
        DataError: As `predict_files`, or if pictures cannot be sent, such as those in a zip.
        LesionwiseError: If no cluster can be joined, or Ray gives up.
    """
    tally = Tally()
    settings = settings_of(engine, output, tta=tta)
    work = Work(engine.bundle, engine.precision, partial(_rows, output.format_), tta=tta)
    with joined() as ray, opened_tables(output, settings, pictures, tally) as (table, faults, waiting):
        for found, wrong, _ in share_out(ray, work, waiting):
            if wrong:
                faults.append(wrong)
            table.append([row for row, _ in found])
            tally.failed += len(wrong)
            tally.predicted += len(found)
            tally.decisions.update(decision for _, decision in found)
            if on_done:
                on_done(tally.done)
    return tally


def _rows(format_: Format, batch: Decoded, answers: Answers) -> list[tuple[list[str], str]]:
    """Return the row and the decision of each picture."""
    rows = table_rows(format_, batch.pictures, answers)
    return list(zip(rows, map(str, answers.decisions.decision), strict=True))


def share_out(ray: "ModuleType", work: Work, pictures: Iterable[Picture]) -> Iterator[Shared]:
    """Yield the results for some pictures in their order, none missing and none twice.

    Raises:
        DataError: If pictures cannot be sent, such as those in a zip.
        LesionwiseError: If the model fails, or Ray gives up.
    """
    waiting = iter(pictures)
    while window := list(islice(waiting, WINDOW)):
        for results in _results(ray, partial(_answer_block, work=work), window):
            for one in results:
                if "stop" in one:
                    raise LesionwiseError(one["stop"])
            found = [one["value"] for one in results if "value" in one]
            yield found, [one["fault"] for one in results if "fault" in one], len(results)


def _results(ray: "ModuleType", task: partial[Any], window: list[Picture]) -> Iterator[list[dict[str, Any]]]:
    """Yield the answers to the pictures in their order, and verify that none is missing or there twice."""
    from ray import data  # noqa: PLC0415 (an extra)

    context = data.DataContext.get_current()
    context.enable_progress_bars = False
    context.execution_options.preserve_order = True
    names = iter(window)
    blocks = data.from_items(
        [{"picture": _pack(p)} for p in window], override_num_blocks=-(-len(window) // BLOCK)
    )
    logging.getLogger("ray.data").setLevel(logging.ERROR)  # it logs more than fits on a screen
    results = blocks.map_batches(task, batch_size=BATCH, batch_format="numpy", num_cpus=1)
    try:
        for batch in results.iter_batches(batch_size=None, batch_format="numpy"):
            found = [pickle.loads(packed) for packed in batch["results"]]  # noqa: S301 (of our own machines)
            if [one["image_id"] for one in found] != [p.image_id for p in islice(names, len(found))]:
                raise LesionwiseError(f"Ray returned other images than it was given. {_AGAIN}")
            yield found
    except ray.exceptions.RayError as error:
        reason = str(error).strip().rpartition("\n")[2]
        raise LesionwiseError(f"Ray gave up: {reason}. {_AGAIN}") from error
    if next(names, None) is not None:
        raise LesionwiseError(f"Ray returned fewer images than it was given. {_AGAIN}")


def _pack(picture: Picture) -> bytes:
    try:
        return pickle.dumps(picture)
    except TypeError as error:
        raise DataError(
            f"{picture.path}: cannot be sent to other machines. Unpack its file, and pass the folder."
        ) from error


def _answer_block(block: Mapping[str, Any], *, work: Work) -> dict[str, Any]:
    """Answer some pictures on the machine that Ray chose."""
    pictures = [pickle.loads(packed) for packed in block["picture"]]  # noqa: S301 (made by `_pack`)
    engine = _engine(work.bundle, work.precision)
    results: dict[str, dict[str, Any]] = {}
    try:
        batch, answers = answer(engine, decode(engine, pictures, held=work.held), tta=work.tta)
        results |= {fault[0]: {"fault": fault} for fault in batch.faults}
        if answers is not None:
            values = work.values(batch, answers)
            results |= {p.image_id: {"value": one} for p, one in zip(batch.pictures, values, strict=True)}
    except LesionwiseError as error:  # concerns the model, and so every picture
        results = {picture.image_id: {"stop": str(error)} for picture in pictures}
    found = [{"image_id": picture.image_id, **results.get(picture.image_id, {})} for picture in pictures]
    return {"results": np.array([pickle.dumps(one) for one in found], dtype=object)}


def _engine(bundle: Bundle, precision: Precision) -> Engine:
    key = bundle.sha256, precision
    if key not in _engines:
        _engines.clear()
        _engines[key] = Engine(bundle, precision=precision, threads=1)
    return _engines[key]
