"""The effect of other number formats than fp32, measured on the run's own images before the file is written.

Here: the ranges of int8, the margin within which images are computed again, counting changes on `cal`, and
weights stored in fp16. Not here: computing in a format (`lesionwise.bundle.int8`), computing again and
choosing a format (`lesionwise.bundle.precision`).

fp16 stores weights in sixteen bits and computes in thirty-two: the file has little more than half the size,
and the answers hardly change.
"""

from collections.abc import Sequence
from dataclasses import replace
from time import process_time
from typing import Final, NamedTuple

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from lesionwise.arrays import Booleans, Floats, Integers
from lesionwise.bundle.answers import Answers
from lesionwise.bundle.decide import distance_to_change
from lesionwise.bundle.description import Description, PartScores, Precision, PrecisionCheck
from lesionwise.bundle.engine import Engine
from lesionwise.bundle.int8 import find_convolutions
from lesionwise.bundle.load import Bundle, assemble
from lesionwise.bundle.precision import (
    FASTEST_FIRST,
    computable_precisions,
    has_instructions,
)
from lesionwise.bundle.runtimes import Arrays, import_openvino
from lesionwise.errors import BundleError, RunError
from lesionwise.evaluation.scores.decision import balanced_accuracy_score
from lesionwise.export.check import PartImages, data_folder, read_run_images
from lesionwise.export.claims import scores_of
from lesionwise.export.graph import without_traces
from lesionwise.run_folder import RunFolder

_EXACT: Final = ("rejection.", ".view.")  # parts of the names of weights of rejection and view, which stay
_FEWEST: Final = 1024  # numbers of a tensor: smaller ones, such as scales and offsets, need few bytes
_NARROWEST: Final = 1e-6  # range of a constant input
_LEFT: Final = 0.005  # half of what "auto" allows: another set of images may change more
_PARTS: Final = 10  # of the lesions, each counted with the margin of the others
_SHORTEST: Final = 0.1  # seconds: a clock of processor time can be coarse
_RANGED: Final = 256  # images that determine the ranges of int8


class Timed(NamedTuple):
    """Answers, and the seconds of processor time that they took."""

    answers: Answers
    seconds: float


def in_half(content: bytes) -> bytes:
    """Return a graph whose large weights are stored as float16 and converted to float32 when it is loaded.

    A weight that is too large for float16 stays unchanged.
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
    """Make sure that a file in another format can be made, before the work starts."""
    if precision == "fp32":
        return
    folder = data_folder(run)
    if not folder.is_dir():
        raise RunError(
            f"{run.path}: the effect of {precision} is measured on the images of cal, but the folder "
            f"{folder} does not exist any more. Restore the data, or export in fp32."
        )
    if precision in FASTEST_FIRST and not has_instructions(precision):
        raise RunError(
            f"{run.path}: the effect of {precision} cannot be measured here, because this processor has no "
            "instructions for it. Export on another machine, or in fp32."
        )


def with_formats(
    full: Engine, graph: bytes, run: RunFolder, member: RunFolder, precision: Precision = "fp32"
) -> Bundle:
    """Return a bundle that states what each faster format changes on `cal`, not written yet.

    With another default format than fp32, it keeps the calibration of fp32. Its scores on `val` are computed
    again. The scores on `test` belong to another file and are left out, because an export does not read
    `test`. With weights in fp16, the faster formats are measured with these weights.

    Formats without instructions on this processor are left out, and all are if the images are gone: "auto"
    never chooses a format that was not measured.

    Args:
        full: The bundle, which computes in fp32.
        graph: Its ONNX file, without a description.
        member: A run that knows the data folder.
        precision: Default format of the bundle.

    Raises:
        BundleError: If the format has no use for this model.
    """
    if not data_folder(member).is_dir():
        return full.bundle
    cal = read_run_images(full, run, member, "cal")
    if not cal.paths:
        if precision != "fp32":
            raise RunError(
                f"{run.path}: the effect of {precision} is measured on the images of cal, but the folder "
                f"{data_folder(member)} has none of them. Restore the data, or export in fp32."
            )
        return full.bundle
    check = None
    if precision == "fp16":
        stored = in_half(graph)
        low = Engine(assemble(stored, _unscored(full.description, precision), full.bundle.path))
        before, after = _answers([full, low], cal)
        check = count_changes(before.answers, after.answers, cal.y_true)
        full, graph = low, stored
    ranges, checks = _faster_formats(full, graph, cal)
    if precision in FASTEST_FIRST:
        if precision not in checks:
            raise BundleError(
                "int8 is for convolutions, and this model has none after its first one. Use fp32 or bf16."
            )
        description, check, checks = _unscored(full.description, precision), checks[precision], {}
        ranges = ranges if precision == "int8" else {}
    else:
        description = full.description
    stated = description.model_copy(
        update={"precision_check": check, "precisions": checks, "int8_ranges": ranges}
    )
    bundle = assemble(graph, stated, full.bundle.path)
    if precision == "fp32" or not run.predictions("val").is_file():
        return bundle
    scores = {"val": _scored_again(Engine(bundle), run, member)}
    return assemble(graph, stated.model_copy(update={"scores": scores}), bundle.path)


def _faster_formats(
    full: Engine, graph: bytes, cal: PartImages
) -> tuple[dict[str, tuple[float, float]], dict[Precision, PrecisionCheck]]:
    """Return the ranges of int8, and what each faster format changes."""
    ranges = measure_ranges(graph, cal)
    description = full.description.model_copy(update={"int8_ranges": ranges})
    bundle, computable = assemble(graph, description, full.bundle.path), computable_precisions(description)
    lower = [Engine(bundle, precision=name, threads=1) for name in FASTEST_FIRST if name in computable]
    exact, *quick = _answers([Engine(full.bundle, threads=1), *lower], cal)
    group = cal.predictions.group
    lesions = cal.predictions.image_id if group is None else group
    checks = {
        engine.precision: check_with_margin(exact, found, cal.y_true, lesions)
        for engine, found in zip(lower, quick, strict=True)
    }
    return ranges, checks


def _scored_again(engine: Engine, run: RunFolder, member: RunFolder) -> PartScores:
    """Return the scores of a bundle on `val`."""
    val = read_run_images(engine, run, member, "val")
    [(found, _)] = _answers([engine], val)
    prob, logits = found.probabilities.astype(float), found.logits.astype(float)
    return scores_of(replace(val.predictions, y_prob=prob, logits=logits), str(run.predictions("val")))


def measure_ranges(graph: bytes, images: PartImages) -> dict[str, tuple[float, float]]:
    """Return the least and greatest input of each convolution, by the name of its weights."""
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


def check_with_margin(
    exact: Timed, quick: Timed, y_true: Integers, lesions: NDArray[np.str_]
) -> PrecisionCheck:
    """Return what a format changes if close calls are computed again in fp32.

    The margin is the smallest that leaves at most a part of `_LEFT` of the images changed. On the images that
    set it, that holds by itself. So the changes in each tenth of the lesions are counted with the margin of
    the other nine. An image that is rejected in one format alone counts as changed, but does not move the
    margin, because its distance to the cut-off is not a matter of log-odds.

    Args:
        exact: The answers in fp32.
        quick: The answers in the format.
        y_true: Class index of each image, shape (N,).
        lesions: Id of the lesion of each image, shape (N,).
    """
    distance = distance_to_change(quick.answers.description, quick.answers.probabilities)
    changed = _changed(*(replace(one.answers, ood_score=None) for one in (exact, quick)))
    tenth = np.unique(lesions, return_inverse=True)[1] % _PARTS
    margins = [_margin(distance[tenth != own], changed[tenth != own]) for own in range(_PARTS)]
    mixed = with_replaced(quick.answers, exact.answers, distance <= np.take(margins, tenth))
    margin = _margin(distance, changed)
    within = distance <= margin
    full = max(exact.seconds, _SHORTEST)
    cost = max(quick.seconds, _SHORTEST) + float(within.mean()) * full
    return count_changes(exact.answers, mixed, y_true).model_copy(
        update={
            "margin": margin or None,
            "computed_again": int(within.sum()) if margin else None,
            "pace": round(full / cost, 2),
        }
    )


def _margin(distance: Floats, changed: Booleans) -> float:
    """Return the distance beyond which at most a part of `_LEFT` of all images lies that change."""
    left = int(_LEFT * len(distance))
    return float(np.sort(distance[changed])[: -left or None].max(initial=0))


def with_replaced(quick: Answers, exact: Answers, again: Booleans) -> Answers:
    """Return the answers of `quick`, and those of `exact` where `again` holds."""
    prob = np.where(again[:, None], exact.probabilities, quick.probabilities)
    score = quick.ood_score
    if score is not None and exact.ood_score is not None:
        score = np.where(again, exact.ood_score, score)
    return replace(quick, probabilities=prob, ood_score=score)


def count_changes(before: Answers, after: Answers, y_true: Integers) -> PrecisionCheck:
    """Count the images with another answer. `y_true`: class index of each image, shape (N,)."""
    top = before.decisions.top != after.decisions.top
    scores = [float(balanced_accuracy_score(y_true, one.probabilities)) for one in (before, after)]
    return PrecisionCheck(
        images=len(before),
        changed=int(_changed(before, after).sum()),
        largest_difference=float(np.abs(before.probabilities - after.probabilities).max()),
        top_changed=int(top.sum()),
        balanced_accuracy_change=scores[1] - scores[0],
    )


def _changed(before: Answers, after: Answers) -> Booleans:
    """Return which images have another diagnosis, decision, prediction set or melanoma flag, shape (N,)."""
    then, now = before.decisions, after.decisions
    changed = (then.decision != now.decision) | (then.top != now.top)
    if then.prediction_set is not None and now.prediction_set is not None:
        changed |= (then.prediction_set != now.prediction_set).any(axis=1)
    if then.above_melanoma_threshold is not None and now.above_melanoma_threshold is not None:
        changed |= then.above_melanoma_threshold != now.above_melanoma_threshold
    return np.asarray(changed)


def _answers(engines: Sequence[Engine], images: PartImages) -> list[Timed]:
    """Return the answers of several engines, which take turns with each batch.

    Processor time counts, which other work on the machine hardly changes.
    """
    found: list[list[Arrays]] = [[] for _ in engines]
    seconds = [0.0] * len(engines)
    for batch in images.batches():
        for place, engine in enumerate(engines):
            started = process_time()
            found[place].append(engine.run(*batch))
            seconds[place] += process_time() - started
    return [
        Timed(engine.answers(own), took) for engine, own, took in zip(engines, found, seconds, strict=True)
    ]


def _unscored(description: Description, precision: Precision) -> Description:
    """Return the description of a bundle in another precision, before it is measured."""
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
