"""Calibrating an imported model with labelled pictures."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
from onnx import helper, numpy_helper

from lesionwise.bundle.engine import Engine
from lesionwise.bundle.load import CHECKSUM_KEY, KEY, Bundle, assemble, verify_writable, write_bundle
from lesionwise.bundle.seen import digests_of_seen
from lesionwise.errors import BundleError
from lesionwise.evaluation.calibration.operating_points import Wish
from lesionwise.evaluation.calibration.record import Calibration, Rule, Scaling
from lesionwise.evaluation.predictions import Predictions
from lesionwise.evaluation.runs.calibrate import Method, calibrate

_TOLERANCE: Final = 1e-4


@dataclass(frozen=True)
class Wishes:
    """What is fitted.

    Attributes:
        points: Question, aim and how much of it, for each operating point.
    """

    method: Method
    rule: Rule
    coverage: float
    points: tuple[Wish, ...]


def verify_imported(bundle: Bundle) -> None:
    """Refuse a model that this package trained: its calibration belongs to its run."""
    if bundle.description.origin == "lesionwise":
        raise BundleError(
            f"{bundle.path}: was trained by lesionwise and is calibrated in its run. Expected a bundle that "
            'was imported ("lesionwise bundle import"), or a run folder.'
        )


def calibrate_bundle(engine: Engine, predictions: Predictions, out: Path, wishes: Wishes) -> Calibration:
    """Write a calibrated copy of an imported bundle, and return what was fitted.

    The pictures that it was calibrated on are noted in it, so that they are found in a test set.

    Args:
        engine: The imported bundle.
        predictions: Its answers for labelled pictures, with truth, lesions and raw outputs. The model must
            not have been trained on them.

    Raises:
        BundleError: If the model is not an imported one, or the copy does not answer as it should.
    """
    verify_writable(out)
    verify_imported(engine.bundle)
    try:
        calibration = calibrate(
            predictions,
            method=wishes.method,
            rule=wishes.rule,
            coverage=wishes.coverage,
            points=wishes.points,
        )
    except ValueError as error:
        raise BundleError(f"{engine.bundle.path}: cannot be calibrated on these pictures: {error}") from error
    model = onnx.load_from_string(engine.bundle.content)
    graph = _scaled(model, calibration.scaling)
    groups = predictions.image_id if predictions.group is None else predictions.group
    description = engine.description.model_copy(
        update={
            "calibration": calibration,
            "precisions": {},  # were measured with another calibration
            "calibrated_on": digests_of_seen(predictions.image_id.tolist(), groups.tolist()),
        }
    )
    bundle = assemble(graph, description, out)
    size = engine.description.input.size
    pixels = np.random.default_rng(0).integers(0, 256, (4, *size, 3), np.uint8)
    found, raw = Engine(bundle).run(pixels), engine.run(pixels)
    difference = np.abs(found["probabilities"] - calibration.probabilities(raw["logits"])).max()
    if not difference <= _TOLERANCE:
        raise BundleError(f"{out}: was not written: its graph scales otherwise by {difference:.2g}.")
    write_bundle(bundle)
    return calibration


def _scaled(model: Any, scaling: Scaling) -> bytes:  # noqa: ANN401 (a message of protobuf)
    """Return the graph of a bundle in which `probabilities` are worked out from scaled `logits`."""
    graph = model.graph
    others = [node for node in graph.node if "probabilities" not in node.output]
    kept = [node for node in others if not any(name.startswith("scaled/") for name in node.output)]
    del graph.node[:]
    graph.node.extend(kept)
    graph.node.extend(
        [
            _constant("scaled/factor", scaling.factor),
            helper.make_node("Mul", ["logits", "scaled/factor"], ["scaled/product"]),
            _constant("scaled/offset", scaling.offset),
            helper.make_node("Add", ["scaled/product", "scaled/offset"], ["scaled/logits"]),
            helper.make_node("Softmax", ["scaled/logits"], ["probabilities"], axis=1),
        ]
    )
    entries = [entry for entry in model.metadata_props if entry.key not in {KEY, CHECKSUM_KEY}]
    del model.metadata_props[:]
    model.metadata_props.extend(entries)
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString(deterministic=True))


def _constant(name: str, value: Any) -> Any:  # noqa: ANN401 (numpy in, protobuf out)
    tensor = numpy_helper.from_array(np.asarray(value, np.float32))
    return helper.make_node("Constant", [], [name], value=tensor)
