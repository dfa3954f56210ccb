"""Loading the weights of an earlier run or bundle into a fresh network.

Not here: the images that made them (`start`), the content of a graph (`lesionwise.models.unfold`), and
weights of other people (`lesionwise.models.weights`).
"""

from typing import Any, Final

import numpy as np
import torch

from lesionwise.arrays import Float32s
from lesionwise.bundle.engine import Engine
from lesionwise.bundle.load import Bundle
from lesionwise.data.images import fit_image
from lesionwise.errors import RecipeError
from lesionwise.models.network import Network
from lesionwise.models.unfold import measure_statistics, unfold
from lesionwise.recipe import Recipe, load_recipe, parse_recipe
from lesionwise.run_folder import RunFolder
from lesionwise.training.prepare import TrainingData
from lesionwise.training.step.augment import augment, evaluation_view

_SAME: Final = ("model", "model_args", "layers", "directions", "metadata", "metadata_hidden")
_TRIAL_IMAGES: Final = 4
_TOLERANCE: Final = 1e-3  # of the greatest number of an embedding
_MEASURED: Final = 512  # images: enough for mean and variance of a channel to some percent
_BATCH: Final = 32


def load_run(network: Network, run: RunFolder, recipe: Recipe, state: dict[str, Any]) -> None:
    """Give a fresh network the weights of an earlier run, with its head and its normalisation.

    Args:
        recipe: Recipe of the training that starts.
        state: State of the network of the earlier run.
    """
    earlier = load_recipe(run.config)
    key = _other_key(earlier, recipe)
    if key:
        raise RecipeError(_other_network(str(run.path), key, earlier, recipe))
    _load(network, state, str(run.path), earlier)


def load_bundle(network: Network, bundle: Bundle, recipe: Recipe) -> None:
    """Give a fresh network the weights of a bundle, or of its only member with the same network.

    Batch normalisation gets its form back; `settle` gives it its statistics.

    Raises:
        RecipeError: If no member fits, several do, or the network does not answer like the bundle.
    """
    source, description = str(bundle.path), bundle.description
    if description.provenance is None or description.precision == "int8":
        kind = "was imported" if description.provenance is None else "holds rounded weights (int8)"
        raise RecipeError(
            f"weights: {source} {kind}, so its network cannot be trained. Start from a bundle that "
            "lesionwise exported in fp32, bf16 or fp16, or from a run folder."
        )
    known = Recipe.model_fields
    members = [
        parse_recipe({key: keys[key] for key in keys if key in known}, source)
        for keys in description.provenance.recipes
    ]
    others = [_other_key(member, recipe) for member in members]
    if others.count(None) != 1:
        key = next((key for key in others if key), "model")
        if None not in others:
            raise RecipeError(_other_network(source, key, members[0], recipe))
        raise RecipeError(
            f"weights: {others.count(None)} members of {source} have this recipe's network. Start from a "
            "bundle of one of them, or from its run folder."
        )
    place = others.index(None)
    try:
        state = unfold(bundle.content, network, recipe.crop_size, member=place)
    except RecipeError as error:
        raise RecipeError(
            f"weights: {source} cannot be trained: {error}. Start from the run folder that it was exported "
            "from."
        ) from error
    _load(network, state, source, members[place])
    _verify_same_answers(network, bundle, members, place)


def settle(network: Network, recipe: Recipe, data: TrainingData, *, seed: int, device: str) -> None:
    """Give the normalisation of a network from a bundle the statistics of the training images.

    This does not change its answers, only its further learning.
    """
    rows = data.rows("train")
    rows = np.sort(np.random.default_rng(seed).permutation(rows)[:_MEASURED])
    batches = np.array_split(rows, -(-len(rows) // _BATCH))
    pixels = ((torch.from_numpy(data.pixels[batch]).to(device), batch) for batch in batches)
    measure_statistics(
        network.to(device),
        (augment(images, recipe, seed=seed, epoch=0, samples=batch) for images, batch in pixels),
    )


def _other_key(earlier: Recipe, recipe: Recipe) -> str | None:
    """Return a key in which the networks of two recipes differ; None if they are the same."""
    return next((key for key in _SAME if getattr(earlier, key) != getattr(recipe, key)), None)


def _other_network(source: str, key: str, earlier: Recipe, recipe: Recipe) -> str:
    return (
        f"weights: {source} was trained with {key}={getattr(earlier, key)!r}, but this recipe has "
        f"{getattr(recipe, key)!r}. Set {key} as it was there."
    )


def _load(network: Network, state: dict[str, Any], source: str, earlier: Recipe) -> None:
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise RecipeError(
            f"weights: the network of {source} does not fit this recipe's, because it depends on the size of "
            f"its images. Set image_size, train_size and eval_size to its values, {earlier.image_size}, "
            f"{earlier.train_size} and {earlier.eval_size}."
        ) from error


def _verify_same_answers(network: Network, bundle: Bundle, members: list[Recipe], place: int) -> None:
    """Compare embeddings of drawn images with those of the bundle, which contain those of all members."""
    engine = Engine(bundle, precision="fp32" if bundle.description.precision == "bf16" else None)
    coarse = np.random.default_rng(0).integers(0, 256, (_TRIAL_IMAGES, 12, 16, 3), np.uint8)
    pixels = np.stack([fit_image(image, bundle.description.input.size) for image in coarse])
    encoding = bundle.description.metadata
    nothing = None if encoding is None else np.zeros((_TRIAL_IMAGES, encoding.length), np.float32)
    answers = engine.look(pixels, nothing)
    network.views = members[place].tta
    with torch.inference_mode():
        found = network.eval().outputs(evaluation_view(torch.from_numpy(pixels), members[place]))
    network.views = 1
    pairs = [(answers["embedding"], found.embedding.numpy())]
    if len(members) == 1:
        pairs.append((answers["logits"], found.logits.numpy()))
    difference = max(_least_difference(theirs, own) / max(np.abs(own).max(), 1) for theirs, own in pairs)
    if not difference <= _TOLERANCE:
        raise RecipeError(
            f"weights: the network in {bundle.path} does not answer like the bundle (off by "
            f"{difference:.1%}), so it is not trained. Start from the run folder that it was exported from."
        )


def _least_difference(theirs: Float32s, own: Float32s) -> float:
    """Return the least distance of embeddings of one network from those of all members, side by side."""
    width = own.shape[1]
    places = range(theirs.shape[1] - width + 1)
    return min((float(np.abs(theirs[:, k : k + width] - own).max()) for k in places), default=np.inf)
