"""Test-time augmentation: the mean over mirrored and turned views of each image.

A lesion has no upright position, so every view is as good a picture of it.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from lesionwise.bundle.engine import Engine
from lesionwise.bundle.runtimes import Arrays, Pixels
from lesionwise.errors import BundleError


def views(pixels: Pixels) -> Iterator[Pixels]:
    """Yield the images as they are, then their mirror images and turns of the same shape.

    Args:
        pixels: Shape (N, H, W, 3). Square ones have eight views, others four: a quarter turn would need
            another height and width.
    """
    for quarter in _turns(*pixels.shape[1:3]):
        turned = np.rot90(pixels, quarter, axes=(1, 2))
        yield np.ascontiguousarray(turned)
        yield np.ascontiguousarray(turned[:, :, ::-1])


def _turns(height: int, width: int) -> Sequence[int]:
    """Return the quarter turns that keep a shape."""
    return range(4) if height == width else (0, 2)


def verify_views_add(engine: Engine) -> None:
    """Refuse a model that averages all these views itself: they would change nothing."""
    made = engine.description.provenance
    inside = min((recipe.get("tta", 1) for recipe in made.recipes), default=1) if made else 1
    if inside >= 2 * len(_turns(*engine.description.input.size)):
        raise BundleError(
            f"{engine.bundle.path}: averages {inside} views of each image itself. Leave --tta out."
        )


def run_views(engine: Engine, pixels: Pixels, metadata: NDArray[np.float32] | None = None) -> Arrays:
    """Run a batch in all views.

    Returns:
        The outputs of the images as they are, but probabilities averaged over all views, and logits the
        logarithm of those, because logits of several views have no common scale.
    """
    outputs = [engine.run(view, metadata) for view in views(pixels)]
    probabilities = np.mean([output["probabilities"] for output in outputs], axis=0)
    logits = np.log(np.maximum(probabilities, np.finfo(np.float32).tiny))
    return {**outputs[0], "probabilities": probabilities, "logits": logits}
