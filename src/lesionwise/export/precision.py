"""A bundle with fewer bits than fp32: what that changes is counted before the file is written.

Here: rewriting the graph, and counting on the run's own `cal` and `val` images. Not here: a graph that the
engine computes in bf16 (`lesionwise.bundle`).

int8 is ONNX Runtime's quantisation of the convolutions. Each weight is stored as an integer with a scale for
its output channel; what goes into a convolution is rounded to 256 steps between the least and the greatest
value that the given images led to. What comes out is not rounded again: that would be quicker on ONNX Runtime
alone, and change half as many answers more. Normalisation, view, head, calibration and the rejection score
stay as they are, and so does the first convolution: it is cheap, and rounding what it sees was a third of the
harm. fp16 stores weights in sixteen bits and computes in thirty-two: the file has little more than half the
size, and the answers hardly change.

References:
    https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from lesionwise.bundle.answers import Answers
from lesionwise.bundle.description import Description, PartScores, Precision, PrecisionCheck
from lesionwise.bundle.engine import BATCH, Engine
from lesionwise.bundle.load import Bundle, assemble
from lesionwise.errors import BundleError, MissingExtraError, RunError
from lesionwise.evaluation.runs.predictions import read_run_predictions
from lesionwise.execution import Execution
from lesionwise.export.claims import scores_of
from lesionwise.export.graph import without_traces
from lesionwise.files import read_json
from lesionwise.run_folder import RunFolder
from lesionwise.training.prepare import TrainingData
from lesionwise.training.run import prepare_again

_EXACT: Final = ("rejection.", ".view.")  # in the name of a weight: rejection and view stay as they are
_FEWEST: Final = 1024  # numbers of a tensor: smaller ones, such as scales and offsets, cost no bytes

Batch = Mapping[str, NDArray[Any]]

_OPERATOR: Final = "Conv"
_FEATURES: Final = ".network.features."  # in the name that PyTorch's exporter gives a weight
_COLOURS: Final = 3  # inputs of the convolution that sees the image
_SEEN: Final = ("onnx.quant.pre_process", "onnxruntime.quant")  # else it advises what was done at export


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


def to_int8(content: bytes, batches: Iterable[Batch]) -> bytes:
    """Return a graph with its convolutions in eight bits; inputs and outputs are named as before.

    Weights use seven of the eight bits: processors without VNNI instructions add up two products in sixteen
    bits, which eight would overflow, and the same file would answer otherwise there.

    Args:
        batches: Images as the graph takes them, an array by the name of each input: their values set the
            ranges. All of `cal`, read as always.
    """
    tools = _quantisation()
    model = onnx.load_from_string(content)
    nodes = _convolutions(model)
    if not nodes:
        raise BundleError(
            "int8 is for convolutions, and this model has none behind its first one. Export it in fp32 or "
            "bf16."
        )
    model.metadata_props.add(key=_SEEN[0], value=_SEEN[1])
    with TemporaryDirectory() as folder:
        path = Path(folder) / "int8.onnx"
        tools.quantize_static(
            model,
            path,
            _Reader(batches),
            quant_format=tools.QuantFormat.QDQ,
            op_types_to_quantize=[_OPERATOR],
            nodes_to_quantize=nodes,
            per_channel=True,
            reduce_range=True,
            activation_type=tools.QuantType.QUInt8,
            weight_type=tools.QuantType.QInt8,
            calibrate_method=tools.CalibrationMethod.MinMax,
            extra_options={"OpTypesToExcludeOutputQuantization": [_OPERATOR]},
        )
        return without_traces(onnx.load(path))


def _convolutions(model: onnx.ModelProto) -> list[str]:
    """Return the names of the convolutions behind the first of each network."""
    weights = {weight.name: weight.dims for weight in model.graph.initializer if _FEATURES in weight.name}
    return [
        node.name
        for node in model.graph.node
        if node.op_type == _OPERATOR and node.input[1] in weights and weights[node.input[1]][1] != _COLOURS
    ]


class _Reader:
    """Hands out the batches one by one, then None; the quantiser asks for no more than that."""

    def __init__(self, batches: Iterable[Batch]) -> None:
        self._waiting = iter(batches)

    def get_next(self) -> Batch | None:
        """Return the next batch."""
        return next(self._waiting, None)


def _quantisation() -> Any:  # noqa: ANN401 (a package without types)
    try:
        from onnxruntime import quantization  # noqa: PLC0415 (an extra)
    except ModuleNotFoundError as error:
        raise MissingExtraError("onnxruntime", error.name or "onnxruntime") from error
    return quantization


def verify_countable(run: RunFolder, precision: Precision) -> None:
    """Make sure that a precision can be made and its changes counted, before the work that ends in it."""
    if precision == "fp32":
        return
    folder = Path(read_json(run.data)["folder"])
    if not folder.is_dir():
        raise RunError(
            f"{run.path}: what {precision} changes is counted on the images of cal, but there is no folder "
            f"{folder} any more. Put the data back, or export in fp32."
        )
    if precision == "int8":
        _quantisation()


def quantize_bundle(
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
    """
    recipe, data, _ = prepare_again(member, execution)
    metadata = data.metadata(recipe.metadata)
    cal = data.rows("cal")
    if precision == "int8":
        graph = to_int8(graph, _inputs(data, metadata, cal))
    if precision == "fp16":
        graph = in_half(graph)
    description = _unscored(full.description, precision)
    low = Engine(assemble(graph, description, full.bundle.path))
    counted = count_changes(_answers(full, data, metadata, cal), _answers(low, data, metadata, cal))
    has_val = run.predictions("val").is_file()
    scores = {"val": _val_scores(low, run, data, metadata)} if has_val else {}
    description = description.model_copy(update={"precision_check": counted, "scores": scores})
    return assemble(graph, description, full.bundle.path)


def count_changes(before: Answers, after: Answers) -> PrecisionCheck:
    """Count the images that get another answer."""
    then, now = before.decisions, after.decisions
    changed = (then.decision != now.decision) | (then.top != now.top)
    if then.prediction_set is not None and now.prediction_set is not None:
        changed |= (then.prediction_set != now.prediction_set).any(axis=1)
    if then.above_melanoma_threshold is not None and now.above_melanoma_threshold is not None:
        changed |= then.above_melanoma_threshold != now.above_melanoma_threshold
    return PrecisionCheck(
        images=len(before),
        changed=int(changed.sum()),
        largest_difference=float(np.abs(before.probabilities - after.probabilities).max()),
    )


def _val_scores(
    engine: Engine, run: RunFolder, data: TrainingData, metadata: NDArray[np.float32] | None
) -> PartScores:
    predictions = read_run_predictions(run, "val")
    place = {name: row for row, name in enumerate(data.image_id)}
    rows = np.array([place[name] for name in predictions.image_id])
    found = _answers(engine, data, metadata, rows)
    predictions = replace(
        predictions, y_prob=found.probabilities.astype(float), logits=found.logits.astype(float)
    )
    return scores_of(predictions, str(run.predictions("val")))


def _answers(
    engine: Engine, data: TrainingData, metadata: NDArray[np.float32] | None, rows: NDArray[np.int64]
) -> Answers:
    batches = _split(rows)
    return engine.answers(
        [engine.run(data.pixels[some], None if metadata is None else metadata[some]) for some in batches]
    )


def _inputs(
    data: TrainingData, metadata: NDArray[np.float32] | None, rows: NDArray[np.int64]
) -> Iterator[Batch]:
    """Yield what the graph is given for some images, an array by the name of each input."""
    for some in _split(rows):
        yield {"image": data.pixels[some], **({} if metadata is None else {"metadata": metadata[some]})}


def _split(rows: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    return [rows[start : start + BATCH] for start in range(0, len(rows), BATCH)]


def _unscored(description: Description, precision: Precision) -> Description:
    """Return what holds of a bundle in another precision before that was tried."""
    made = description.provenance and description.provenance.model_copy(update={"test_images": ()})
    return description.model_copy(
        update={
            "precision": precision,
            "scores": {},
            "stability": None,
            "ood_accepted": {},
            "provenance": made,
        }
    )
