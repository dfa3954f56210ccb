"""Training a linear probe: features are computed once and kept, and a last layer is fitted to them.

Not here: the features (`features`), and the fit (`lesionwise.models.probe`). Letters: K directions.
"""

from time import perf_counter

import numpy as np
import pandas as pd
import torch

from lesionwise.arrays import Float32s, Integers
from lesionwise.execution import Execution
from lesionwise.files import atomic_path, write_text
from lesionwise.labels import CODES
from lesionwise.models.layers import Directions
from lesionwise.models.network import DenseHead, Network
from lesionwise.models.probe import Fitting, Probe, main_directions
from lesionwise.models.probe import fit_probe as fit_layer
from lesionwise.recipe import Recipe
from lesionwise.run_folder import RunFolder
from lesionwise.training.features import network_features
from lesionwise.training.fit import fresh_network, write_part_predictions
from lesionwise.training.loop.hardware import keep_memory
from lesionwise.training.loop.history import History, StepClock
from lesionwise.training.prepare import TrainingData
from lesionwise.training.step.losses import balanced_weights
from lesionwise.training.step.module import scores_of

_AT_ONCE = 512  # rows that are rotated together


def fit_probe(
    recipe: Recipe, data: TrainingData, run: RunFolder, *, seed: int = 0, execution: Execution
) -> StepClock:
    """Fit the last layer of a recipe's network, and write the files of `fit`.

    Args:
        run: Gets the results; `probe.csv` has the score of each regularisation strength.
    """
    keep_memory()
    torch.manual_seed(seed)
    train_rows = data.rows("train")
    network = fresh_network(recipe, weights=recipe.weights)
    network.views = recipe.tta
    clock = StepClock()
    clock.images = len(data.y)
    started = perf_counter()
    features = network_features(network, recipe, data, execution)
    computed = perf_counter()
    if isinstance(network.head, DenseHead) and isinstance(network.head.layers, Directions):
        features = _turned(network.head.layers, recipe, features, train_rows, seed=seed)
    probe = _fit_layer(recipe, data, features, train_rows, seed=seed)
    _put_in(network, probe)
    clock.seconds = {"features": computed - started, "last layer": perf_counter() - computed}
    state = {f"network.{name}": value for name, value in network.state_dict().items()}
    with atomic_path(run.best) as temporary:
        torch.save({"state_dict": state, "epoch": 0}, temporary)
    tried = pd.DataFrame({"C": probe.cv_scores.keys(), "cv_balanced_accuracy": probe.cv_scores.values()})
    write_text(run.path / "probe.csv", tried.to_csv(index=False, float_format="%.6g", lineterminator="\n"))
    seconds = sum(clock.seconds.values())
    pace = {"seconds": seconds, "images_per_second": clock.images / seconds}
    scores: dict[str, float] = {}
    for part in ("train", "val"):
        rows = data.rows(part)
        logits = probe.logits(features[rows], data.metadata(recipe.metadata, rows))
        scores |= scores_of(part, torch.from_numpy(logits), torch.from_numpy(data.y[rows]))
    History(run.history, execution.progress).add({"epoch": 0, "lr": 0.0, **pace, **scores})
    write_part_predictions(run, recipe, data, ("val", "cal"), device=execution.device)
    return clock


def _fit_layer(recipe: Recipe, data: TrainingData, features: Float32s, rows: Integers, *, seed: int) -> Probe:
    assert recipe.probe  # noqa: S101 (for the type checker)
    y = data.y[rows]
    counts = torch.bincount(torch.from_numpy(y), minlength=len(CODES))
    weights = balanced_weights(counts, recipe.class_weight).numpy()
    return fit_layer(
        features[rows].astype(float),
        y,
        data.group[rows],
        fitting=Fitting(recipe.probe, weights, not recipe.layers, recipe.metadata_dropout),
        metadata=data.metadata(recipe.metadata, rows),
        seed=seed,
    )


def _turned(
    directions: Directions,
    recipe: Recipe,
    features: Float32s,
    rows: Integers,
    *,
    seed: int,
) -> Float32s:
    """Find the main directions of the features of some rows, and return all in these, shape (N, K)."""
    middle, turn = main_directions(features[rows], recipe.directions, seed=seed)
    directions.middle.copy_(torch.from_numpy(middle))
    directions.turn.copy_(torch.from_numpy(turn))
    parts = np.array_split(features, -(-len(features) // _AT_ONCE))
    return np.concatenate([directions(torch.tensor(part)).numpy() for part in parts])


def _put_in(network: Network, probe: Probe) -> None:
    with torch.no_grad():
        network.head.linear.weight.copy_(torch.from_numpy(probe.weight))
        network.head.linear.bias.copy_(torch.from_numpy(probe.bias))
        if network.metadata is not None:
            network.metadata.linear.weight.copy_(torch.from_numpy(probe.metadata_weight))
