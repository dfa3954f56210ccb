"""Calibrating an imported model with labelled pictures."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx

from lesionwise.bundle.engine import Engine
from lesionwise.bundle.load import CHECKSUM_KEY, KEY, Bundle, assemble, verify_writable, write_bundle
from lesionwise.bundle.seen import digests_of_seen
from lesionwise.errors import BundleError
from lesionwise.evaluation.calibration.record import Calibration, Scaling
from lesionwise.evaluation.predictions import Predictions
from lesionwise.export.foreign import Chain

Fit = Callable[[Predictions], Calibration]
_TOLERANCE: Final = 1e-4


def verify_imported(bundle: Bundle) -> None:
    """Refuse a model that this package trained, because its calibration belongs to its run."""
    if bundle.description.origin == "lesionwise":
        raise BundleError(
            f"{bundle.path}: was trained by lesionwise and is calibrated in its run. Expected a bundle that "
            'was imported ("lesionwise bundle import"), or a run folder.'
        )


def calibrate_bundle(engine: Engine, predictions: Predictions, out: Path, fit: Fit) -> Calibration:
    """Write a calibrated copy of an imported bundle, and return its calibration.

    The copy lists the pictures that it was calibrated on, so that `evaluate` finds them in a test set.

    Args:
        predictions: The bundle's answers to labelled pictures, with truth, lesions and raw outputs. The model
            must not have been trained on them.
        fit: `lesionwise.evaluation.runs.calibrate.calibrate` with its options.

    Raises:
        BundleError: If the model was not imported, or the copy does not give the expected answers.
    """
    verify_writable(out)
    verify_imported(engine.bundle)
    try:
        calibration = fit(predictions)
    except ValueError as error:
        raise BundleError(f"{engine.bundle.path}: cannot be calibrated on these pictures: {error}") from error
    model = onnx.load_from_string(engine.bundle.content)
    graph = _scaled(model, calibration.scaling)
    groups = predictions.image_id if predictions.group is None else predictions.group
    description = engine.description.model_copy(
        update={
            "calibration": calibration,
            "precisions": {},  # they were measured with another calibration
            "calibrated_on": digests_of_seen(predictions.image_id.tolist(), groups.tolist()),
        }
    )
    bundle = assemble(graph, description, out)
    size = engine.description.input.size
    pixels = np.random.default_rng(0).integers(0, 256, (4, *size, 3), np.uint8)
    found, raw = Engine(bundle).run(pixels), engine.run(pixels)
    difference = np.abs(found["probabilities"] - calibration.probabilities(raw["logits"])).max()
    if not difference <= _TOLERANCE:
        raise BundleError(f"{out}: was not written: its graph is {difference:.2g} off the calibration.")
    write_bundle(bundle)
    return calibration


def _scaled(model: Any, scaling: Scaling) -> bytes:  # noqa: ANN401 (a message of protobuf)
    """Return the graph of a bundle with `probabilities` computed from scaled `logits`."""
    graph = model.graph
    others = [node for node in graph.node if "probabilities" not in node.output]
    kept = [node for node in others if not any(name.startswith("scaled/") for name in node.output)]
    del graph.node[:]
    scaled = Chain("logits", "scaled").add("Mul", np.asarray(scaling.factor, np.float32))
    scaled.add("Add", np.asarray(scaling.offset, np.float32))
    graph.node.extend([*kept, *scaled.add("Softmax", output="probabilities", axis=1).nodes])
    entries = [entry for entry in model.metadata_props if entry.key not in {KEY, CHECKSUM_KEY}]
    del model.metadata_props[:]
    model.metadata_props.extend(entries)
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString(deterministic=True))
