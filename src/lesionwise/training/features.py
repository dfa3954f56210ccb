"""Features that are computed once and kept beside the pixels.

Not here: the layer on top of them (`lesionwise.models.probe`, `step.module`).
"""

import os
from functools import lru_cache
from hashlib import sha256
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock
from torch import nn

from lesionwise.arrays import Float32s, Floats, Integers, Pixels
from lesionwise.execution import Execution
from lesionwise.files import atomic_path, file_sha256, write_text
from lesionwise.models.layers import LayerFeatures
from lesionwise.models.network import DenseHead, Network
from lesionwise.recipe import Recipe
from lesionwise.training.prepare import TrainingData
from lesionwise.training.step.augment import evaluation_view

_BATCH = 64
_CHANGES = (
    *("rotation", "zoom", "shift", "aspect", "flip", "blur", "jpeg", "noise", "brightness", "contrast"),
    *("color", "views", "mixup", "cutmix"),
)


def are_constant(recipe: Recipe) -> bool:
    """Return whether features are the same in every epoch: neither images nor network ever change."""
    if recipe.probe:
        return True
    unchanged = all(getattr(recipe, key) == Recipe.model_fields[key].default for key in _CHANGES)
    alike = recipe.image_size == recipe.crop_size == recipe.view_size and recipe.eval_zoom == 1
    return recipe.freeze == "all" and unchanged and alike and recipe.tta == 1 and not recipe.second_look


def network_features(network: Network, recipe: Recipe, data: TrainingData, execution: Execution) -> Float32s:
    """Return the features of every image, shape (N, D), kept beside the pixels.

    They are the embedding. If the embedding is made of directions of many features, they are these features.
    """
    path = _path(network, recipe, data)
    if not _is_whole(path):
        with FileLock(path.with_suffix(".lock")):  # the first of several runs computes them
            if not _is_whole(path):
                with atomic_path(path) as temporary:
                    _compute(temporary, network, recipe, data.pixels, execution)
                write_text(path.with_suffix(".sha256"), file_sha256(path))
    return np.asarray(np.load(path, mmap_mode="r"))


def known_embedding(network: Network, recipe: Recipe, data: TrainingData, rows: Integers) -> Float32s | None:
    """Return the embedding of some images from kept features, shape (len(rows), K); None if none are kept."""
    if not are_constant(recipe):
        return None
    path = _path(network, recipe, data)
    if not _is_whole(path):
        return None
    features: Float32s = np.load(path, mmap_mode="r")[rows]
    if not is_layered(network):
        return features
    with torch.inference_mode():
        return np.asarray(network.head.embed(torch.from_numpy(features)))


def known_logits(network: Network, recipe: Recipe, data: TrainingData, rows: Integers) -> Floats | None:
    """Return the logits of some images from kept features, shape (len(rows), C); None if none are kept."""
    embedding = known_embedding(network, recipe, data, rows)
    if embedding is None:
        return None
    metadata = data.metadata(recipe.metadata, rows)
    known = None if metadata is None else torch.from_numpy(metadata)
    with torch.inference_mode():
        logits = network.eval().of_embedding(torch.from_numpy(embedding), known)
    return np.asarray(logits.double())


def is_layered(network: Network) -> bool:
    """Return whether the embedding is made of directions of many features, which are fitted too."""
    return isinstance(network.features, LayerFeatures)


def _unturned(network: Network) -> Network:
    """Return the network whose embedding is the features themselves."""
    if not isinstance(network.features, LayerFeatures):
        return network
    plain = Network(network.features, DenseHead(nn.Identity(), network.features.num_features, 1))
    plain.set_statistics(network.mean, network.std)
    plain.views = network.views
    return plain


def _path(network: Network, recipe: Recipe, data: TrainingData) -> Path:
    return data.cache.path / f"features-{_fingerprint(network, recipe, data)}.npy"


def _is_whole(path: Path) -> bool:
    """Return whether features are complete and undamaged."""
    digest = path.with_suffix(".sha256")
    if not (path.exists() and digest.exists()):
        return False
    status = path.stat()
    return _sha256_once(path, status.st_size, status.st_mtime_ns) == digest.read_text(encoding="utf-8")


@lru_cache
def _sha256_once(path: Path, _size: int, _mtime_ns: int) -> str:
    """Return the hash of a file, which is read once while it stays the same."""
    return file_sha256(path)


def _compute(path: Path, network: Network, recipe: Recipe, pixels: Pixels, execution: Execution) -> None:
    """Write the features of all images; memory holds one batch at a time."""
    network = _unturned(network).to(execution.device).to(memory_format=torch.channels_last).eval()
    shape = (len(pixels), network.head.linear.in_features)
    file = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=shape)
    if hasattr(os, "posix_fallocate"):  # a full disk is found now; later it would end the process
        with path.open("r+b") as room:
            os.posix_fallocate(room.fileno(), 0, path.stat().st_size)
    for start in range(0, len(pixels), _BATCH):
        end = min(start + _BATCH, len(pixels))
        images = torch.from_numpy(pixels[np.arange(start, end)]).to(execution.device)
        with torch.inference_mode():
            file[start:end] = network.outputs(evaluation_view(images, recipe)).embedding.cpu()
        execution.progress.on_work("computing features", end, len(pixels))
    file.flush()
    network.cpu()


def _fingerprint(network: Network, recipe: Recipe, data: TrainingData) -> str:
    """Return a hash of everything that the features depend on: network, view and images."""
    seen = (recipe.model, recipe.model_args, recipe.view_size, recipe.eval_zoom, recipe.tta, recipe.layers)
    digest = sha256(repr(seen).encode())
    fitted = ("head.linear.", "metadata.", *(["head.layers."] if is_layered(network) else []))
    for name, value in network.state_dict().items():
        if not name.startswith(fitted):
            digest.update(name.encode() + value.cpu().contiguous().numpy().tobytes())
    digest.update("\n".join(data.image_id).encode())
    return digest.hexdigest()[:16]
