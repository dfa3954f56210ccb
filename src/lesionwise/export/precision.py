"""What other number formats than fp32 change, measured on the run's own images before the file is written.

Here: the ranges of int8, counting on `cal` and `val`, and weights stored in fp16. Not here: computing in a
format (`lesionwise.bundle.int8`), and choosing one (`lesionwise.bundle.precision`).

fp16 stores weights in sixteen bits and computes in thirty-two: the file has little more than half the size,
and the answers hardly change.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from lesionwise.bundle.answers import Answers, Float32s
from lesionwise.bundle.description import Description, PartScores, Precision, PrecisionCheck
from lesionwise.bundle.engine import BATCH, Engine
from lesionwise.bundle.int8 import find_convolutions
from lesionwise.bundle.load import Bundle, assemble
from lesionwise.bundle.precision import FASTEST_FIRST, computable_precisions, has_instructions
from lesionwise.bundle.runtimes import Pixels, import_openvino
from lesionwise.data.dataset import read_dataset
from lesionwise.errors import BundleError, RunError
from lesionwise.evaluation.predictions import Predictions
from lesionwise.evaluation.runs.predictions import read_run_predictions
from lesionwise.evaluation.scores.decision import balanced_accuracy_score
from lesionwise.export.claims import scores_of
from lesionwise.export.graph import without_traces
from lesionwise.files import read_json
from lesionwise.run_folder import RunFolder

_EXACT: Final = ("rejection.", ".view.")  # in the name of a weight: rejection and view stay as they are
_FEWEST: Final = 1024  # numbers of a tensor: smaller ones, such as scales and offsets, cost no bytes
_NARROWEST: Final = 1e-6  # range of an input that is always the same
_RANGED: Final = 256  # images whose values set the ranges of int8


def in_half(content: bytes) -> bytes:
    """Return a graph whose large weights are stored as float16 and turned into float32 as they are loaded.

    A layer with a weight that is too large for float16 stays as it is.
    """
    model = onnx.load_from_string(content)
    casts = []
    for weight in model.graph.initializer:
        values = numpy_helper.to_array(weight)
        exact = any(part in weight.name for part in _EXACT)
        if weight.data_type != TensorProto.FLOAT or values.size < _FEWEST or exact:
            continue
        with np.errstate(over="ignore"):
            half = values.astype(np.float16)
        if not np.isfinite(half).all():
            continue
        full, stored = weight.name, f"{weight.name}.half"
        weight.CopyFrom(numpy_helper.from_array(half, stored))
        casts.append(helper.make_node("Cast", [stored], [full], to=TensorProto.FLOAT))
    if not casts:
        raise BundleError("fp16 is for large weights, and this model has none. Export it in fp32.")
    nodes = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend([*casts, *nodes])
    return without_traces(model)


def verify_countable(run: RunFolder, precision: Precision) -> None:
    """Make sure that a file in another format can be made, before the work that ends in it."""
    if precision == "fp32":
        return
    folder = Path(read_json(run.data)["folder"])
    if not folder.is_dir():
        raise RunError(
            f"{run.path}: what {precision} changes is counted on the images of cal, but there is no folder "
            f"{folder} any more. Put the data back, or export in fp32."
        )
    if precision in FASTEST_FIRST and not has_instructions(precision):
        raise RunError(
            f"{run.path}: what {precision} changes cannot be counted here, because this processor lacks "
            "instructions for it. Export on another machine, or in fp32."
        )


def with_precisions(full: Engine, graph: bytes, run: RunFolder, member: RunFolder) -> Bundle:
    """Return a bundle that states what each faster format changes on `cal`, not written yet.

    Formats that this processor has no instructions for are left out, and so are all where the images are
    gone: "auto" never chooses what was not measured.

    Args:
        full: The bundle in fp32.
        graph: Its ONNX file, without a description.
        member: A run that knows the data folder.
    """
    if not Path(read_json(member.data)["folder"]).is_dir():
        return full.bundle
    cal = _read_images(full, run, member, "cal")
    if not cal.paths:
        return full.bundle
    description = full.description.model_copy(update={"int8_ranges": measure_ranges(graph, cal)})
    bundle = assemble(graph, description, full.bundle.path)
    computable = computable_precisions(description)
    lower = [Engine(bundle, precision=name) for name in FASTEST_FIRST if name in computable]
    before, *after = _answers([full, *lower], cal)
    checks = {
        engine.precision: count_changes(before, found, cal.y_true)
        for engine, found in zip(lower, after, strict=True)
    }
    return assemble(graph, description.model_copy(update={"precisions": checks}), bundle.path)


def in_precision(
    full: Bundle, graph: bytes, run: RunFolder, member: RunFolder, precision: Precision
) -> Bundle:
    """Return a bundle that is computed in another format by default, not written yet.

    It keeps the calibration of fp32. Its scores are its own: those on `val` are worked out anew, those on
    `test` were another file's and are left out, because an export does not read `test`.

    Args:
        full: As `with_precisions` returns it.

    Raises:
        BundleError: If the model has nothing that the format is for.
    """
    if precision == "int8" and not full.description.int8_ranges:
        raise BundleError(
            "int8 is for convolutions, and this model has none behind its first one. Export it in fp32 or "
            "bf16."
        )
    description = _unscored(full.description, precision)
    if precision == "fp16":
        graph = in_half(graph)
    low = Engine(assemble(graph, description, full.path))
    check = full.description.precisions.get(precision)
    if check is None:
        cal = _read_images(low, run, member, "cal")
        before, after = _answers([Engine(full), low], cal)
        check = count_changes(before, after, cal.y_true)
    has_val = run.predictions("val").is_file()
    scores = {"val": _val_scores(low, run, member)} if has_val else {}
    return assemble(
        graph, description.model_copy(update={"precision_check": check, "scores": scores}), full.path
    )


@dataclass(frozen=True)
class _Images:
    """The images of a part that the run predicted, and that are files.

    Attributes:
        predictions: What the run wrote of them.
    """

    engine: Engine
    paths: Sequence[Path]
    metadata: Float32s | None
    predictions: Predictions

    @property
    def y_true(self) -> NDArray[np.int64]:
        """Class index of each image."""
        if self.predictions.y_true is None:
            raise RunError("Expected the predictions of a run to hold the diagnoses.")
        return self.predictions.y_true

    def batches(self, most: int | None = None) -> Iterator[tuple[Pixels, Float32s | None]]:
        """Yield pixels, and what is known besides.

        Args:
            most: Take no more images than these, spread evenly.
        """
        rows = range(0, len(self.paths), -(-len(self.paths) // most) if most else 1)
        for start in range(0, len(rows), BATCH):
            some = rows[start : start + BATCH]
            pixels = np.stack([self.engine.read(self.paths[row]) for row in some])
            yield pixels, None if self.metadata is None else self.metadata[some]


def _read_images(engine: Engine, run: RunFolder, member: RunFolder, part: str) -> _Images:
    dataset = read_dataset(Path(read_json(member.data)["folder"]))
    place = {name: row for row, name in enumerate(dataset.table["image_id"])}
    predictions = read_run_predictions(run, part)
    predictions = predictions.take(np.array([name in place for name in predictions.image_id]))  # no copies
    rows = [place[name] for name in predictions.image_id]
    encoding = engine.description.metadata
    known = engine.encode(encoding.known(dataset.records(rows, encoding.names))) if encoding else None
    return _Images(engine, [dataset.paths[row] for row in rows], known, predictions)


def measure_ranges(graph: bytes, images: _Images) -> dict[str, tuple[float, float]]:
    """Return the least and greatest value that each convolution is given, by the name of its weights."""
    openvino = import_openvino()
    core = openvino.Core()
    model = core.read_model(graph)
    layers = find_convolutions(model)
    if not layers:
        return {}
    outputs = len(model.outputs)
    for reduce in (openvino.opset13.reduce_min, openvino.opset13.reduce_max):
        for layer in layers.values():
            model.add_outputs(reduce(layer.input_value(0), np.arange(4)).output(0))
    run = core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    found = []
    for pixels, known in images.batches(_RANGED):
        results = run({"image": pixels, **({} if known is None else {"metadata": known})})
        found.append([float(results[place]) for place in range(outputs, outputs + 2 * len(layers))])
    least = np.min(found, axis=0)[: len(layers)]
    greatest = np.maximum(np.max(found, axis=0)[len(layers) :], least + _NARROWEST)
    return dict(zip(layers, zip(least.tolist(), greatest.tolist(), strict=True), strict=True))


def count_changes(before: Answers, after: Answers, y_true: NDArray[np.int64]) -> PrecisionCheck:
    """Count the images that get another answer.

    Args:
        y_true: Class index of each image, shape (N,).
    """
    then, now = before.decisions, after.decisions
    top = then.top != now.top
    changed = (then.decision != now.decision) | top
    if then.prediction_set is not None and now.prediction_set is not None:
        changed |= (then.prediction_set != now.prediction_set).any(axis=1)
    if then.above_melanoma_threshold is not None and now.above_melanoma_threshold is not None:
        changed |= then.above_melanoma_threshold != now.above_melanoma_threshold
    scores = [float(balanced_accuracy_score(y_true, one.probabilities)) for one in (before, after)]
    return PrecisionCheck(
        images=len(before),
        changed=int(changed.sum()),
        largest_difference=float(np.abs(before.probabilities - after.probabilities).max()),
        top_changed=int(top.sum()),
        balanced_accuracy_change=scores[1] - scores[0],
    )


def _val_scores(engine: Engine, run: RunFolder, member: RunFolder) -> PartScores:
    val = _read_images(engine, run, member, "val")
    [found] = _answers([engine], val)
    predictions = replace(
        val.predictions, y_prob=found.probabilities.astype(float), logits=found.logits.astype(float)
    )
    return scores_of(predictions, str(run.predictions("val")))


def _answers(engines: Sequence[Engine], images: _Images) -> list[Answers]:
    """Return the answers of several engines, which are given each batch in turn."""
    found = [[engine.run(*batch) for engine in engines] for batch in images.batches()]
    return [engine.answers(own) for engine, own in zip(engines, zip(*found, strict=True), strict=True)]


def _unscored(description: Description, precision: Precision) -> Description:
    """Return what holds of a bundle in another precision before that was tried."""
    made = description.provenance and description.provenance.model_copy(update={"test_images": ()})
    return description.model_copy(
        update={
            "precision": precision,
            "precisions": {},
            "int8_ranges": description.int8_ranges if precision == "int8" else {},
            "scores": {},
            "stability": None,
            "ood_accepted": {},
            "provenance": made,
        }
    )
