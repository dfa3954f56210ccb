"""What the mean of two networks' weights is worth beside the mean of their answers, out of fold.

    python benchmarks/search/average_weights.py FOLD-RUN FOLD-RUN

Both are of one fold and one network, trained otherwise. Batch norm's means and variances are averaged as
weights are, or measured anew on training images, changed as the second run's recipe says.
"""

import sys
from pathlib import Path
from typing import Final

import numpy as np
import torch
from checkpoints import print_scores
from torch import nn

from lesionwise.models.network import Network
from lesionwise.recipe import Recipe
from lesionwise.run_folder import RunFolder
from lesionwise.training.fit import load_best_network, predict_logits
from lesionwise.training.prepare import TrainingData
from lesionwise.training.run import prepare_again
from lesionwise.training.step.augment import augment

IMAGES: Final = 768
BATCH: Final = 64


def measure_again(network: Network, recipe: Recipe, data: TrainingData) -> None:
    """Let batch norm see changed images of `train`, and keep their plain mean."""
    network.eval()
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.reset_running_stats()
            layer.momentum = None
            layer.train()
    drawn = np.random.default_rng(0).choice(data.rows("train"), IMAGES, replace=False)
    with torch.inference_mode():
        for rows in np.split(drawn, IMAGES // BATCH):
            images = torch.from_numpy(data.pixels[rows])
            network.outputs(augment(images, recipe, seed=0, epoch=99, samples=rows))
    network.eval()


def average(first: Network, second: Network) -> None:
    """Give the second network the mean of both networks' weights."""
    mine, theirs = first.state_dict(), second.state_dict()
    second.load_state_dict(
        {
            name: (mine[name] + value) / 2 if value.is_floating_point() else value
            for name, value in theirs.items()
        }
    )


def main(first: Path, second: Path) -> None:
    run = RunFolder(second)
    if run.split.read_bytes() != RunFolder(first).split.read_bytes():
        sys.exit("Expected two runs of one fold but their splits differ.")
    recipe, data, _ = prepare_again(run)
    rows, known = data.rows("test"), data.metadata(recipe.metadata)

    def logits(network: Network) -> np.ndarray:
        return predict_logits(network, recipe, data.pixels, rows, metadata=known, device="cpu")

    networks = [load_best_network(RunFolder(folder), recipe) for folder in (first, second)]
    answers = [logits(network) for network in networks]
    for folder, found in zip((first, second), answers, strict=True):
        print_scores(str(folder), found, data, rows)
    one, other = (torch.from_numpy(found).softmax(1) for found in answers)
    print_scores("mean of answers", ((one + other) / 2).log().numpy(), data, rows)
    average(*networks)
    both = networks[1]
    print_scores("mean of weights", logits(both), data, rows)
    measure_again(both, recipe, data)
    print_scores("mean of weights, batch norm measured anew", logits(both), data, rows)


if __name__ == "__main__":
    main(*(Path(name) for name in sys.argv[1:3]))
