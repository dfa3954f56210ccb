"""Comparing a bundle with the file that it was made from, on pictures, before it is written."""

from collections.abc import Callable
from functools import cache
from typing import Any, Final, Literal

import numpy as np

from lesionwise.arrays import Float32s, Floats, Pixels
from lesionwise.bundle.engine import Engine
from lesionwise.data.images import fit_image, read_image
from lesionwise.data.phantom.diagnoses import draw_lesion
from lesionwise.data.phantom.photograph import draw_lots_for_skin, take_photograph
from lesionwise.errors import BundleError
from lesionwise.evaluation.calibration.record import softmax
from lesionwise.export.onnx_model import ForeignModel, verify_columns
from lesionwise.labels import CODES

Gives = Literal["probabilities", "logits"]
_PHANTOMS: Final = ("mel", "bcc", "vasc")
_COARSE: Final = 5
_SUM_TOLERANCE: Final = 1e-3
_TINY: Final = 1e-12
_HARDLY: Final = 0.01  # least variation of answers if the pixels reach the network as it expects


def trial_pictures(size: tuple[int, int]) -> Pixels:
    """Return drawn lesions and coarse noise at a height and width, shape (N, H, W, 3)."""
    coarse = np.random.default_rng(0).integers(0, 256, (_COARSE, 12, 16, 3), np.uint8)
    drawn = [read_image(photograph, size) for photograph in _photographs()]
    return np.stack([*drawn, *(fit_image(picture, size) for picture in coarse)])


@cache
def _photographs() -> tuple[bytes, ...]:
    rng = np.random.default_rng(0)
    skin = draw_lots_for_skin(rng)
    return tuple(take_photograph(draw_lesion(code, rng), skin, rng).jpeg for code in _PHANTOMS)


def answers_of_file(
    foreign: ForeignModel, prepare: Callable[[Pixels], Float32s], pictures: Pixels
) -> list[tuple[Floats, float]]:
    """Return the answers of the file itself, picture by picture, with the accepted difference.

    Args:
        prepare: Function from pixels to the input of the model.

    Raises:
        BundleError: If the answers are not finite rows of seven; the message does not name the file.
    """
    found = []
    for answer, tolerance in foreign.answers:
        rows = [answer(prepare(picture[None])) for picture in pictures]
        verify_columns(rows[0].shape)
        values = np.concatenate(rows).astype(float)
        if not np.isfinite(values).all():
            raise BundleError("gives values that are not numbers")
        found.append((values, tolerance))
    return found


def verify_gives(values: Floats, gives: Gives) -> None:
    """Make sure that the outputs of a model, shape (N, C), are what the user stated."""
    within = bool(np.all((values >= 0) & (values <= 1)))
    sums_to_one = within and bool(np.all(np.abs(values.sum(axis=1) - 1) < _SUM_TOLERANCE))
    if within and not sums_to_one:
        raise BundleError(
            "gives outputs between 0 and 1 that do not sum to 1, as with a sigmoid for each diagnosis. They "
            "are neither probabilities of seven diagnoses nor logits. Export it without its last layer, and "
            "pass --gives logits"
        )
    if sums_to_one != (gives == "probabilities"):
        other = "logits" if gives == "probabilities" else "probabilities"
        raise BundleError(f"gives outputs that are not {gives} but look like {other}. Pass --gives {other}")


def verify_answers(
    engine: Engine,
    pictures: Pixels,
    expected: list[tuple[Floats, float]],
    model: Any,  # noqa: ANN401
) -> None:
    """Make sure that a bundle answers like the file that it was made from.

    Args:
        expected: Probabilities in our order, shape (N, C), with the accepted difference.
        model: The graph, for finding the cause.
    """
    found = engine.predict(list(pictures)).probabilities
    for values, tolerance in expected:
        difference = float(np.abs(found - values).max())
        if not difference <= tolerance:
            raise BundleError(
                f"does not give the answers of the file itself on {engine.runtime}: a probability differs by "
                f"{difference:.2g}, and {tolerance:.0e} is accepted. {_cause(model)}"
            )


def probabilities_of(values: Floats, classes: tuple[str, ...], gives: Gives) -> Floats:
    """Return outputs of a model, in the order of its classes, as probabilities in our order, shape (N, C)."""
    ordered = values[:, [classes.index(code) for code in CODES]]
    return softmax(ordered if gives == "logits" else np.log(np.maximum(ordered, _TINY)))


def oddities(expected: Floats, scalers: tuple[str, ...], *, scales_outside: bool) -> tuple[str, ...]:
    """Return warnings about facts that make a wrong import likely without proving it.

    Args:
        expected: Probabilities for the trial pictures, shape (N, C).
        scalers: Names of layers of the model that scale pixels.
        scales_outside: Whether the conventions scale pixels as well.
    """
    found = []
    spread = float(np.ptp(expected, axis=0).max())
    if spread < _HARDLY:
        found.append(
            f"It answers nearly the same for all {len(expected)} trial pictures: no probability varies by "
            f"more than {spread:.2g}. Check --divide, --mean and --std: pixels that are scaled twice, or not "
            "at all, look like this."
        )
    if scalers and scales_outside:
        found.append(
            f"It scales pixels itself ({', '.join(scalers)}), and --divide, --mean or --std scale them "
            "before that. Pass --divide 1 --mean 0 --std 1 unless it was trained with both."
        )
    return tuple(found)


def _cause(model: Any) -> str:  # noqa: ANN401
    """Return the operators that OpenVINO is known to compute differently, and what to do."""
    found = {words for node in model.graph.node if (words := _suspicion(node))}
    if found:
        return (
            f"It has {' and '.join(sorted(found))}, which OpenVINO computes differently. Export the model "
            "without this, and resize the pictures before it"
        )
    return "The cause is unknown. Export it with another opset, or for any number of images"


def _suspicion(node: Any) -> str:  # noqa: ANN401
    settings = {attribute.name: attribute.i for attribute in node.attribute}
    if node.op_type == "Resize" and settings.get("antialias"):
        return "Resize with antialias=1"
    if node.op_type == "AveragePool" and settings.get("ceil_mode"):
        return "AveragePool with ceil_mode=1"
    return ""
