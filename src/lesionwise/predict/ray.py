"""Many images through a bundle on the machines of a Ray cluster.

Here: the pipeline of `lesionwise predict --engine ray`, on Ray Data. Not here: decoding, answering and rows,
which are those of one machine (`files`, `writing`), and the connection (`lesionwise.cluster`).

Names go out, rows come back, in the order of the names; this process alone writes. So the table is that of
one machine, `--resume` goes on after it, and a machine that is lost costs what it was working on: Ray gives
that to another.
"""

import json
import logging
import pickle
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from lesionwise.bundle.description import Precision
from lesionwise.bundle.engine import BATCH, Engine
from lesionwise.bundle.load import Bundle
from lesionwise.cluster import joined
from lesionwise.data.pictures import Picture
from lesionwise.errors import DataError, LesionwiseError
from lesionwise.predict.files import OnDone, Output, Tally, answer, decode, opened_tables, settings_of
from lesionwise.predict.writing import Format, GrowingTable, table_rows

if TYPE_CHECKING:
    from types import ModuleType

WINDOW: Final = (
    100_000  # pictures that are shared out at once: what this process remembers of them is bounded
)
BLOCK: Final = 8 * BATCH  # pictures of one task: seconds of work that a lost machine can cost
_engines: dict[tuple[str, str], Engine] = {}  # of a worker process, which answers many tasks


def predict_with_ray(
    engine: Engine,
    pictures: Iterable[Picture],
    output: Output,
    *,
    tta: bool = False,
    on_done: OnDone | None = None,
) -> Tally:
    """Predict images on a cluster and write the tables that `predict_files` writes.

    Args:
        pictures: What to predict. Every machine must reach files of folders under the same path.
        output: Where the results go; its `on_answers` is not called.

    Raises:
        DataError: As `predict_files`, or if pictures cannot be sent, as those in a zip.
        LesionwiseError: If no cluster can be joined, or Ray gives up.
    """
    tally, format_ = Tally(), output.format_
    settings = settings_of(engine, output, tta=tta)
    work = partial(_answer_block, bundle=engine.bundle, precision=engine.precision, tta=tta, format_=format_)
    with joined() as ray, opened_tables(output, settings, pictures, tally) as (table, faults, waiting):
        while window := list(islice(waiting, WINDOW)):
            for results in _share_out(ray, work, window):
                _write(results, table, faults, tally)
                if on_done:
                    on_done(tally.done)
    return tally


def _share_out(
    ray: "ModuleType", work: partial[Any], window: list[Picture]
) -> Iterator[list[dict[str, Any]]]:
    """Yield the answers to the pictures, in their order, none missing and none twice."""
    from ray import data  # noqa: PLC0415 (an extra)

    context = data.DataContext.get_current()
    context.enable_progress_bars = False
    context.execution_options.preserve_order = True
    names = iter(window)
    blocks = data.from_items([{"picture": _pack(p)} for p in window], override_num_blocks=_blocks(window))
    logging.getLogger("ray.data").setLevel(logging.ERROR)  # it has more to say than fits on a screen
    results = blocks.map_batches(work, batch_size=BATCH, batch_format="numpy", num_cpus=1)
    try:
        for batch in results.iter_batches(batch_size=None, batch_format="numpy"):
            found = [json.loads(text) for text in batch["results"]]
            if [one["image_id"] for one in found] != [p.image_id for p in islice(names, len(found))]:
                raise LesionwiseError("Ray gave back other images than it was given. Pass --resume.")
            yield found
    except ray.exceptions.RayError as error:
        reason = str(error).strip().rpartition("\n")[2]
        raise LesionwiseError(f"Ray gave up: {reason}. Pass --resume to continue.") from error
    if next(names, None) is not None:
        raise LesionwiseError("Ray gave back fewer images than it was given. Pass --resume.")


def _blocks(window: list[Picture]) -> int:
    return -(-len(window) // BLOCK)


def _pack(picture: Picture) -> bytes:
    try:
        return pickle.dumps(picture)
    except TypeError as error:
        raise DataError(
            f"{picture.path}: cannot be sent to other machines. Unpack its file, and name the folder."
        ) from error


def _answer_block(
    block: Mapping[str, Any], *, bundle: Bundle, precision: Precision, tta: bool, format_: Format
) -> dict[str, Any]:
    """Answer some pictures on the machine that Ray chose."""
    pictures = [pickle.loads(packed) for packed in block["picture"]]  # noqa: S301 (what `_pack` made)
    engine = _engine(bundle, precision)
    results: dict[str, dict[str, Any]] = {}
    try:
        decoded, answers = answer(engine, decode(engine, pictures), tta=tta)
        results |= {fault[0]: {"fault": fault} for fault in decoded.faults}
        if answers is not None:
            rows = table_rows(format_, decoded.pictures, answers)
            said = map(str, answers.decisions.decision)
            results |= {row[0]: {"row": row, "said": one} for row, one in zip(rows, said, strict=True)}
    except LesionwiseError as error:  # of the model, hence of every picture
        results = {picture.image_id: {"stop": str(error)} for picture in pictures}
    found = [{"image_id": picture.image_id, **results[picture.image_id]} for picture in pictures]
    return {"results": np.array([json.dumps(one) for one in found], dtype=object)}


def _engine(bundle: Bundle, precision: Precision) -> Engine:
    key = bundle.sha256, precision
    if key not in _engines:
        _engines.clear()
        _engines[key] = Engine(bundle, precision=precision, threads=1)
    return _engines[key]


def _write(results: list[dict[str, Any]], table: GrowingTable, faults: GrowingTable, tally: Tally) -> None:
    for one in results:
        if "stop" in one:
            raise LesionwiseError(one["stop"])
    if wrong := [one["fault"] for one in results if "fault" in one]:
        faults.append(wrong)
        tally.failed += len(wrong)
    rows = [one["row"] for one in results if "row" in one]
    tally.decisions.update(one["said"] for one in results if "said" in one)
    table.append(rows)
    tally.predicted += len(rows)
