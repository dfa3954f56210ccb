"""Features of a network that somebody trained for something else, frozen, for the map.

Here: running it over the pixels. Not here: making it (`lesionwise.models`). This is the one place in
`explore` that needs torch, and it is imported only where a recipe was named.
"""

import numpy as np
import torch
from numpy.typing import NDArray

from lesionwise.errors import RecipeError
from lesionwise.explore.pixels import SIZE, Float, blocks
from lesionwise.models.weights import FRESH
from lesionwise.progress import SILENT, Progress
from lesionwise.recipe import Recipe
from lesionwise.training.fit import fresh_network


def network_features(pixels: NDArray[np.uint8], recipe: Recipe, *, progress: Progress = SILENT) -> Float:
    """Return what the network of a recipe makes of each image before any training here, shape (N, D)."""
    if recipe.weights == FRESH:
        raise RecipeError(
            f'Expected a recipe that starts from trained weights but {recipe.model} has weights = "{FRESH}". '
            "Name another, such as mobilenetv2, or leave --recipe out."
        )
    small = {"image_size": SIZE, "train_size": None, "eval_size": None, "layers": ()}
    network = fresh_network(recipe.model_copy(update=small), weights=recipe.weights).eval()
    found = []
    with torch.inference_mode():
        for part in blocks(len(pixels)):
            images = torch.from_numpy(np.array(pixels[part])).permute(0, 3, 1, 2).float() / 255
            found.append(network.outputs(images).embedding.numpy())
            progress.on_work("looking at images", part.stop, len(pixels))
    return np.concatenate(found).astype(np.float32)
