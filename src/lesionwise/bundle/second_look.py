"""A second look at near ties: if two diagnoses are about equally likely, the mirror image counts too.

A lesion has no left and no right, yet a network answers its mirror image a little differently. This decides
only where two diagnoses are nearly tied. So the logits of such an image are averaged with those of its mirror
image, and fewer answers depend on how a picture was taken or saved.

Bundles and runs share this rule. The image is mirrored before its view is cut.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lesionwise.arrays import Float32s, Floats, lead
from lesionwise.bundle.runtimes import Arrays, Input, Inputs, Run
from lesionwise.evaluation.calibration.record import softmax


def mirror_weight(logits: NDArray[np.floating], limit: float) -> Floats:
    """Return the weight of each mirror image in the mean, shape (N,).

    It is one half where the two largest logits differ by at most half of the limit. From there it falls to
    zero at the limit, so that no answer jumps.

    Args:
        logits: Shape (N, C).
        limit: Difference from which images are looked at once.
    """
    return np.asarray(np.clip(1 - lead(logits) / limit, 0, 0.5))


def look_twice(run: Run, limit: float, scaled: Callable[[Float32s], ArrayLike] = softmax) -> Run:
    """Return the function that runs a graph, and runs it again on the mirror images of near ties.

    Logits and maps are averaged, so a map remains exact. Embedding and rejection score are those of the image
    itself.

    Args:
        limit: As in `mirror_weight`; 0 never looks twice.
        scaled: Function from logits to probabilities.
    """
    if not limit:
        return run

    def run_twice(inputs: Inputs) -> Arrays:
        found = run(inputs)
        weight = mirror_weight(found["logits"], limit)
        if (tied := weight > 0).any():
            other = run({name: _mirrored(name, values[tied]) for name, values in inputs.items()})
            share = weight[tied].astype(np.float32)
            found["logits"][tied] += share[:, None] * (other["logits"] - found["logits"][tied])
            if "cam" in found:
                back = other["cam"][..., ::-1]
                found["cam"][tied] += share[:, None, None, None] * (back - found["cam"][tied])
            if "probabilities" in found:
                found["probabilities"][tied] = scaled(found["logits"][tied])
        return found

    return run_twice


def _mirrored(name: str, values: Input) -> Input:
    return values[:, :, ::-1].copy() if name == "image" else values
