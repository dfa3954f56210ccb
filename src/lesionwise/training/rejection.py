"""The stage after training that stores embeddings for telling lesion images from other pictures.

Here: embeddings of images of `train` and `cal`, of the same images as from other cameras, and of pictures
that are not lesion images. Not here: making the pictures (`data.foreign`) and learning from the embeddings
(`evaluation.rejection`). `test` is not read. Letters: K numbers of an embedding.
"""

from collections.abc import Iterable, Iterator
from functools import partial
from itertools import islice
from typing import Final

import numpy as np
import torch

from lesionwise.arrays import Float32s, Integers, Pixels
from lesionwise.data.foreign import FOREIGN, change_camera
from lesionwise.data.images import fit_image
from lesionwise.data.preprocess import recipe_steps
from lesionwise.files import atomic_path
from lesionwise.models.network import Network
from lesionwise.recipe import Recipe
from lesionwise.run_folder import RunFolder
from lesionwise.training.features import known_embedding
from lesionwise.training.fit import load_best_network
from lesionwise.training.loop.hardware import keep_memory
from lesionwise.training.prepare import TrainingData
from lesionwise.training.step.augment import evaluation_view

_BATCH: Final = 64
_MOST_OF_EACH: Final = 150  # training images of each diagnosis, so that rare ones count as much
_MOST_CHANGED: Final = 600  # of train
_CAMERAS: Final = {"train": 1, "cal": 3}  # seeds
_OF_EACH_KIND: Final = 75  # outsiders


def write_numbers(run: RunFolder, recipe: Recipe, data: TrainingData, *, device: str) -> None:
    """Write the embeddings for learning which pictures are not lesion images."""
    network = load_best_network(run, recipe)
    some, cal = some_of_each(data.y, data.rows("train")), data.rows("cal")
    look = partial(embed, network, recipe, device=device)
    known = {"train": some, "cal": cal}
    found = {kind: known_embedding(network, recipe, data, rows) for kind, rows in known.items()}
    for kind, rows in known.items():
        if found[kind] is None:
            found[kind] = look(data.pixels[row] for row in rows)
    found["train-changed"] = look(changed(recipe, data.pixels, some[:_MOST_CHANGED], "train"))
    found["cal-changed"] = look(changed(recipe, data.pixels, cal, "cal"))
    found["outsiders"] = look(foreign_pictures(recipe, data.pixels, some))
    for kind, embedding in found.items():
        with atomic_path(run.embeddings(kind)) as temporary, temporary.open("wb") as file:
            np.save(file, np.asarray(embedding), allow_pickle=False)


def some_of_each(y: Integers, rows: Integers) -> Integers:
    """Return some of these rows, in random order, at most `_MOST_OF_EACH` of each diagnosis."""
    rng = np.random.default_rng(0)
    shuffled = rng.permutation(rows)
    kept = [shuffled[y[shuffled] == kind][:_MOST_OF_EACH] for kind in np.unique(y[rows])]
    return np.asarray(rng.permutation(np.concatenate(kept)), np.int64)


def changed(recipe: Recipe, pixels: Pixels, rows: Integers, part: str) -> Iterator[Pixels]:
    """Yield lesion images as from other cameras.

    Args:
        part: "train" or "cal". Each has its own cameras, so that the cut-off is set with unknown ones.
    """
    for number, row in enumerate(rows):
        rng = np.random.default_rng([_CAMERAS[part], number])
        yield _prepared(recipe, change_camera(pixels[row], rng))


def foreign_pictures(recipe: Recipe, pixels: Pixels, rows: Integers) -> Iterator[Pixels]:
    """Yield pictures that are not lesion images, the same number of each kind.

    Args:
        rows: Lesion images to alter, or to take colours from.
    """
    for place, kind in enumerate(FOREIGN):
        for number in range(_OF_EACH_KIND):
            row = rows[(place * _OF_EACH_KIND + number) % len(rows)]
            rng = np.random.default_rng([2, place, number])
            yield _prepared(recipe, FOREIGN[kind](pixels[row], rng))


def _prepared(recipe: Recipe, picture: Pixels) -> Pixels:
    """Return a picture as if it were read from a file."""
    return fit_image(picture, recipe.image_size, steps=recipe_steps(recipe))


def embed(network: Network, recipe: Recipe, pictures: Iterable[Pixels], *, device: str = "cpu") -> Float32s:
    """Return the embeddings (N, K) of some pictures. `pictures`: each of shape (H, W, 3)."""
    keep_memory()
    network = network.to(device).eval()
    found = []
    with torch.inference_mode():
        waiting = iter(pictures)
        while batch := list(islice(waiting, _BATCH)):
            images = torch.from_numpy(np.stack(batch)).to(device)
            found.append(network.outputs(evaluation_view(images, recipe)).embedding.float().cpu())
    return torch.cat(found).numpy()
