"""A bundle with fewer bits than fp32: what that changes is counted before the file is written.

Here: making it, and counting on the run's own `cal` and `val` images. Not here: how a graph gets eight bits
(`bundle.int8`, `bundle.half`). Letters: N images, M numbers of an image.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lesionwise.bundle.description import Description, PartScores, Precision, PrecisionCheck
from lesionwise.bundle.engine import BATCH, Answers, Engine
from lesionwise.bundle.load import Bundle, assemble
from lesionwise.errors import RunError
from lesionwise.evaluation.runs.predictions import read_run_predictions
from lesionwise.execution import Execution
from lesionwise.export.claims import scores_of
from lesionwise.export.half import in_half
from lesionwise.export.int8 import Batch, to_int8, verify_quantiser
from lesionwise.files import read_json
from lesionwise.run_folder import RunFolder
from lesionwise.training.prepare import TrainingData
from lesionwise.training.run import prepare_again


def verify_countable(run: RunFolder, precision: Precision) -> None:
    """Make sure that a precision can be made and its changes counted, before the work that ends in it.

    Args:
        run: Whose images it is counted on.
        precision: That is asked for.

    Raises:
        RunError: If the data folder of the run is gone.
        MissingExtraError: If int8 is asked for and ONNX Runtime is not installed.
    """
    if precision == "fp32":
        return
    folder = Path(read_json(run.data)["folder"])
    if not folder.is_dir():
        raise RunError(
            f"{run.path}: what {precision} changes is counted on the images of cal, but there is no folder "
            f"{folder} any more. Put the data back, or export in fp32."
        )
    if precision == "int8":
        verify_quantiser()


def with_fewer_bits(
    full: Engine,
    graph: bytes,
    run: RunFolder,
    member: RunFolder,
    precision: Precision,
    *,
    execution: Execution = Execution(),
) -> Bundle:
    """Return a bundle in another precision, not written yet, with what that changes in its description.

    It keeps the calibration of fp32. Its scores are its own: those on `val` are worked out anew, those on
    `test` were another file's and are left out, because an export does not read `test`.

    Args:
        full: The bundle in fp32.
        graph: Its ONNX file without the description.
        run: A run, or an ensemble.
        member: The run alone, or the first member.
        precision: To make.
        execution: Its `cache_root` and `workers` are used.
    """
    recipe, data, _ = prepare_again(member, execution)
    told = data.metadata(recipe.metadata)
    cal = data.rows("cal")
    if precision == "int8":
        graph = to_int8(graph, _inputs(data, told, cal))
    if precision == "fp16":
        graph = in_half(graph)
    description = _unscored(full.description, precision)
    low = Engine(assemble(graph, description, full.bundle.path))
    counted = count_changes(_answers(full, data, told, cal), _answers(low, data, told, cal))
    has_val = run.predictions("val").is_file()
    scores = {"val": _val_scores(low, run, data, told)} if has_val else {}
    description = description.model_copy(update={"precision_check": counted, "scores": scores})
    return assemble(graph, description, full.bundle.path)


def count_changes(before: Answers, after: Answers) -> PrecisionCheck:
    """Count the images of which something else is said.

    Args:
        before: In fp32.
        after: With fewer bits, of the same images.
    """
    then, now = before.decisions, after.decisions
    changed = (then.decision != now.decision) | (then.top != now.top)
    if then.prediction_set is not None and now.prediction_set is not None:
        changed |= (then.prediction_set != now.prediction_set).any(axis=1)
    return PrecisionCheck(
        images=len(before),
        changed=int(changed.sum()),
        largest_difference=float(np.abs(before.probabilities - after.probabilities).max()),
    )


def _val_scores(
    engine: Engine, run: RunFolder, data: TrainingData, told: NDArray[np.float32] | None
) -> PartScores:
    said = read_run_predictions(run, "val")
    place = {name: row for row, name in enumerate(data.image_id)}
    rows = np.array([place[name] for name in said.image_id])
    found = _answers(engine, data, told, rows)
    said = replace(said, y_prob=found.probabilities.astype(float), logits=found.logits.astype(float))
    return scores_of(said, str(run.predictions("val")))


def _answers(
    engine: Engine, data: TrainingData, told: NDArray[np.float32] | None, rows: NDArray[np.int64]
) -> Answers:
    batches = _split(rows)
    return engine.answers(
        [engine.run(data.pixels[some], None if told is None else told[some]) for some in batches]
    )


def _inputs(data: TrainingData, told: NDArray[np.float32] | None, rows: NDArray[np.int64]) -> Iterator[Batch]:
    """Yield what the graph is given for some images, an array by the name of each input."""
    for some in _split(rows):
        yield {"image": data.pixels[some], **({} if told is None else {"metadata": told[some]})}


def _split(rows: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    return [rows[start : start + BATCH] for start in range(0, len(rows), BATCH)]


def _unscored(description: Description, precision: Precision) -> Description:
    """Return what holds of a bundle in another precision before that was tried."""
    made = description.provenance and description.provenance.model_copy(update={"test_images": ()})
    return description.model_copy(
        update={"precision": precision, "scores": {}, "stability": None, "provenance": made}
    )
