"""Test-time augmentation: the mean over mirrored and rotated views of each image.

A lesion has no upright position, so every view shows it equally well.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from lesionwise.arrays import Pixels
from lesionwise.bundle.engine import Engine
from lesionwise.bundle.runtimes import Arrays
from lesionwise.errors import BundleError


def views(pixels: Pixels, *, inside: int = 1) -> Iterator[Pixels]:
    """Yield the images as they are, then mirrored and rotated ones of the same shape.

    Args:
        pixels: Shape (N, H, W, 3). Square images have eight views. Others have four, because a quarter turn
            would change height and width.
        inside: Number of views that the model averages itself (`tta` of its recipe): 2 or more contain the
            mirror image, and 4 or more the half turn, so these are left out.
    """
    turns = _turns(*pixels.shape[1:3])
    for quarter in turns[: len(turns) // max(1, inside // 2)]:
        turned = np.rot90(pixels, quarter, axes=(1, 2))
        yield np.ascontiguousarray(turned)
        if inside == 1:
            yield np.ascontiguousarray(turned[:, :, ::-1])


def _turns(height: int, width: int) -> Sequence[int]:
    """Return the quarter turns that keep a shape."""
    return range(4) if height == width else (0, 2)


def verify_views_add(engine: Engine) -> None:
    """Refuse a model that already averages all these views itself."""
    inside = _views_inside(engine)
    if inside >= 2 * len(_turns(*engine.description.input.size)):
        raise BundleError(
            f"{engine.bundle.path}: averages {inside} views of each image itself. Leave --tta out."
        )


def _views_inside(engine: Engine) -> int:
    """Return the number of views that every network of a model averages itself."""
    made = engine.description.provenance
    return min((recipe.get("tta", 1) for recipe in made.recipes), default=1) if made else 1


def run_views(engine: Engine, pixels: Pixels, metadata: NDArray[np.float32] | None = None) -> Arrays:
    """Run a batch in all views.

    Returns:
        The outputs for the images as they are, but with probabilities averaged over all views. The logits are
        the logarithms of these, because logits of different views have no common scale.
    """
    outputs = [engine.look(view, metadata) for view in views(pixels, inside=_views_inside(engine))]
    probabilities = np.mean([output["probabilities"] for output in outputs], axis=0)
    logits = np.log(np.maximum(probabilities, np.finfo(np.float32).tiny))
    return {**outputs[0], "probabilities": probabilities, "logits": logits}
