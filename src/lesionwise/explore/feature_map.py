"""The map: every image as a point, near those that look like it, by features that no diagnosis has shaped.

Here: the features of a network that was trained for something else, and the map by any features. Not here:
the features of colour and texture (`pixels`).
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from lesionwise.arrays import Float32s, Integers, Pixels, blocks
from lesionwise.errors import RecipeError
from lesionwise.explore.pixels import BLOCK, SIZE
from lesionwise.progress import SILENT, Progress
from lesionwise.recipe import Recipe

_BLOCK: Final = 512  # rows of the table of distances at a time
_KEPT: Final = 32  # components in which neighbours are looked for; what comes after is noise


@dataclass(frozen=True)
class FeatureMap:
    """Where each image lies.

    Attributes:
        points: First two principal components, shape (N, 2).
        explained: Part of the variance of the features on each of the two axes.
        agreement: Part of the images whose nearest image of another lesion has their diagnosis, mean over the
            diagnoses, each weighing the same.
        chance: The same if neighbours had nothing to do with diagnoses.
    """

    points: Float32s
    explained: tuple[float, float]
    agreement: float
    chance: float


def map_features(features: Float32s, y: Integers, lesion: NDArray[np.intp]) -> FeatureMap:
    """Return the map of images by their features, with axes whose signs depend on the data alone."""
    scaled = (features - features.mean(axis=0)) / (features.std(axis=0) + 1e-6)
    variances, axes = np.linalg.eigh(np.cov(scaled, rowvar=False))
    variances, axes = variances[::-1], axes[:, ::-1]
    axes = axes * np.where(axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])] < 0, -1, 1)
    components = np.asarray(scaled @ axes[:, :_KEPT], dtype=np.float32)
    total = max(float(variances.sum()), 1e-9)
    agreement, chance = _agreement(components, y, lesion)
    explained = (float(variances[0]) / total, float(variances[1]) / total)
    return FeatureMap(components[:, :2], explained, agreement, chance)


def _agreement(components: Float32s, y: Integers, lesion: NDArray[np.intp]) -> tuple[float, float]:
    """Return how often the nearest image of another lesion has the same diagnosis, and the same by chance."""
    lengths = (components**2).sum(axis=1)
    same = np.zeros(len(y), bool)
    for rows in blocks(len(y), _BLOCK):
        distance = lengths - 2 * components[rows] @ components.T
        distance[lesion[rows, None] == lesion[None]] = np.inf
        same[rows] = y[distance.argmin(axis=1)] == y[rows]
    classes = np.unique(y)
    # A random neighbour has diagnosis c with c's part of the images, so the mean over classes is 1 / classes.
    return float(np.mean([same[y == c].mean() for c in classes])), 1 / len(classes)


def network_features(pixels: Pixels, recipe: Recipe, *, progress: Progress = SILENT) -> Float32s:
    """Return what the network of a recipe makes of each image before any training here, shape (N, D)."""
    import torch  # noqa: PLC0415 (an extra, which a map of colour and texture does without)

    from lesionwise.models.weights import FRESH  # noqa: PLC0415 (the same)
    from lesionwise.training.fit import fresh_network  # noqa: PLC0415 (the same)

    if recipe.weights == FRESH:
        raise RecipeError(
            f'Expected a recipe that starts from trained weights but {recipe.model} has weights = "{FRESH}". '
            "Name another, such as mobilenetv2, or leave --recipe out."
        )
    small = {"image_size": SIZE, "train_size": None, "eval_size": None, "layers": ()}
    network = fresh_network(recipe.model_copy(update=small), weights=recipe.weights).eval()
    found = []
    with torch.inference_mode():
        for part in blocks(len(pixels), BLOCK):
            images = torch.from_numpy(np.array(pixels[part])).permute(0, 3, 1, 2).float() / 255
            found.append(network.outputs(images).embedding.numpy())
            progress.on_work("looking at images", part.stop, len(pixels))
    return np.concatenate(found).astype(np.float32)
