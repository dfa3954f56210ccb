"""Training a linear probe: features computed once and kept, a last layer fitted to them.

Here: the features' cache, and a run folder that all later stages read like that of a training by gradient.
Not here: fitting the layer (`lesionwise.models.probe`).
Letters: N images, D features, C classes.
"""

from hashlib import sha256
from time import perf_counter

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from lesionwise.evaluation.scores import accuracy_score, macro_recall_score
from lesionwise.labels import CODES
from lesionwise.models.network import Network
from lesionwise.models.probe import Probe
from lesionwise.models.probe import fit_probe as fit_layer
from lesionwise.models.weights import FRESH
from lesionwise.recipe import Recipe
from lesionwise.run_folder import RunFolder, atomic_path, write_text
from lesionwise.training.augment import evaluation_view
from lesionwise.training.clock import OnStep, StepClock
from lesionwise.training.datamodule import channel_statistics
from lesionwise.training.fit import fresh_network, write_part_predictions
from lesionwise.training.hardware import keep_memory
from lesionwise.training.history import COLUMNS, OnEpoch
from lesionwise.training.losses import balanced_weights
from lesionwise.training.prepare import TrainingData

_BATCH = 64


def fit_probe(
    recipe: Recipe,
    data: TrainingData,
    run: RunFolder,
    *,
    seed: int = 0,
    device: str,
    resume: bool = False,
    on_epoch: OnEpoch | None = None,
    on_step: OnStep | None = None,
) -> StepClock:
    """Fit the last layer of a recipe's network, and write what `fit` writes.

    Args:
        recipe: Its `probe` names the method.
        data: Pixels, table and split.
        run: Where the results go; `probe.csv` holds the score of each strength that was tried.
        seed: Of the folds, and of features that nobody trained.
        device: "cpu", "cuda" or "mps".
        resume: There is nothing to resume: features are kept anyway.
        on_epoch: Called with the one row of the history.
        on_step: Called with 0, the images whose features are known and the number of all.

    Returns:
        What features and fit took.
    """
    del resume
    keep_memory()
    torch.manual_seed(seed)
    train_rows = data.rows("train")
    network = fresh_network(recipe, weights=recipe.weights)
    if recipe.weights == FRESH and not recipe.mean:
        network.set_statistics(*channel_statistics(data.pixels, train_rows))
    network.views = recipe.tta
    clock = StepClock()
    clock.images = len(data.y)
    started = perf_counter()
    features = network_features(network, recipe, data, device=device, on_step=on_step)
    computed = perf_counter()
    probe = _fit_layer(recipe, data, features[train_rows], train_rows, seed=seed)
    with torch.no_grad():
        network.head.linear.weight.copy_(torch.from_numpy(probe.weight))
        network.head.linear.bias.copy_(torch.from_numpy(probe.bias))
    clock.seconds = {"features": computed - started, "last layer": perf_counter() - computed}
    _write_checkpoint(network, run)
    _write_history(run, data, features, probe, clock=clock, on_epoch=on_epoch)
    write_part_predictions(run, recipe, data, ("val", "cal"), device=device)
    return clock


def network_features(
    network: Network, recipe: Recipe, data: TrainingData, *, device: str, on_step: OnStep | None = None
) -> NDArray[np.float32]:
    """Return the embedding of every image, shape (N, D), kept beside the pixels they were computed from.

    Args:
        network: Its views are averaged.
        recipe: Says which part of the image is looked at.
        data: The images.
        device: "cpu", "cuda" or "mps".
        on_step: See `fit_probe`.
    """
    path = data.cache.path / f"features-{_fingerprint(network, recipe, data)}.npy"
    if not path.exists():
        computed = _compute(network, recipe, data.pixels, device=device, on_step=on_step)
        with atomic_path(path) as temporary, temporary.open("wb") as file:
            np.save(file, computed)
    return np.asarray(np.load(path, mmap_mode="r"))


def _compute(
    network: Network, recipe: Recipe, pixels: NDArray[np.uint8], *, device: str, on_step: OnStep | None
) -> NDArray[np.float32]:
    network = network.to(device).to(memory_format=torch.channels_last).eval()
    embeddings = []
    for start in range(0, len(pixels), _BATCH):
        images = torch.from_numpy(pixels[np.arange(start, min(start + _BATCH, len(pixels)))]).to(device)
        with torch.inference_mode():
            embeddings.append(network.outputs(evaluation_view(images, recipe)).embedding.cpu())
        if on_step:
            on_step(0, min(start + _BATCH, len(pixels)), len(pixels))
    network.cpu()
    return np.asarray(torch.cat(embeddings))


def _fingerprint(network: Network, recipe: Recipe, data: TrainingData) -> str:
    """Return a name for all that the features depend on: network, what it looks at, and which images."""
    seen = (recipe.model, recipe.model_args, recipe.view_size, recipe.eval_zoom, recipe.tta)
    digest = sha256(repr(seen).encode())
    for name, value in network.state_dict().items():
        if not name.startswith("head.linear."):
            digest.update(name.encode() + value.contiguous().numpy().tobytes())
    digest.update("\n".join(data.image_id).encode())
    return digest.hexdigest()[:16]


def _fit_layer(
    recipe: Recipe, data: TrainingData, features: NDArray[np.float32], rows: NDArray[np.int64], *, seed: int
) -> Probe:
    assert recipe.probe  # noqa: S101 (for the type checker)
    y = data.y[rows]
    counts = torch.bincount(torch.from_numpy(y), minlength=len(CODES))
    weights = balanced_weights(counts, recipe.class_weight).numpy()
    return fit_layer(
        features.astype(float), y, data.group[rows], kind=recipe.probe, weights=weights, seed=seed
    )


def _write_checkpoint(network: Network, run: RunFolder) -> None:
    state = {f"network.{name}": value for name, value in network.state_dict().items()}
    with atomic_path(run.checkpoints / "best.ckpt") as temporary:
        torch.save({"state_dict": state, "epoch": 0}, temporary)


def _write_history(
    run: RunFolder,
    data: TrainingData,
    features: NDArray[np.float32],
    probe: Probe,
    *,
    clock: StepClock,
    on_epoch: OnEpoch | None,
) -> None:
    tried = pd.DataFrame({"C": probe.cv_scores.keys(), "cv_balanced_accuracy": probe.cv_scores.values()})
    write_text(run.path / "probe.csv", tried.to_csv(index=False, float_format="%.6g", lineterminator="\n"))
    row = {"epoch": 0, "lr": 0.0, "seconds": sum(clock.seconds.values())}
    row["images_per_second"] = clock.images / row["seconds"]
    for part in ("train", "val"):
        rows = data.rows(part)
        logits = torch.from_numpy(features[rows] @ probe.weight.T + probe.bias)
        y, prob = data.y[rows], logits.softmax(1).numpy()
        row[f"{part}_loss"] = float(F.cross_entropy(logits, torch.from_numpy(y)))
        row[f"{part}_accuracy"] = float(accuracy_score(y, prob))
        row[f"{part}_balanced_accuracy"] = float(macro_recall_score(y, prob))
    history = pd.DataFrame([{column: row[column] for column in COLUMNS}])
    write_text(run.history, history.to_csv(index=False, float_format="%.6g", lineterminator="\n"))
    if on_epoch:
        on_epoch(row)
