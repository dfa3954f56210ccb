"""Make a run folder of the mean of networks that bundles hold, such as both MobileNetV2 of commit fc5dfbd.

    python benchmarks/accuracy/mean_of_bundles.py RECIPE DATA IMAGENET.safetensors OUT BEST.onnx LARGER.onnx
    python benchmarks/accuracy/mean_of_bundles.py RECIPE DATA none OUT LARGER.onnx:1    # its second network

Each network is taken out of its graph. Its channels are scaled to the length of the ImageNet weights that
both began with, because a folded graph has lost that scale; then batch norm is given its statistics. The
weights are averaged, and the mean is given new statistics. A training can start from OUT (`weights=OUT`).
"""

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
import torch
from soup import mean_of
from torch import Tensor, nn

from lesionwise.models.network import Network
from lesionwise.models.unfold import measure_statistics, unfold
from lesionwise.models.weights import read_weights
from lesionwise.recipe import Recipe, load_recipe
from lesionwise.run_folder import RunFolder
from lesionwise.training.fit import fresh_network
from lesionwise.training.prepare import TrainingData, prepare
from lesionwise.training.step.augment import augment

SPLIT: Final = Path(__file__).parents[1] / "reference_split.csv"
FIRST: Final = "features.body."
IMAGES: Final = 1024
BATCH: Final = 64
LEAST: Final = 1e-3  # channels shorter than this keep their scale


def views(recipe: Recipe, data: TrainingData, seed: int) -> Iterator[Tensor]:
    """Yield batches of changed training images."""
    drawn = np.sort(np.random.default_rng(seed).choice(data.rows("train"), IMAGES, replace=False))
    for rows in np.split(drawn, IMAGES // BATCH):
        images = torch.from_numpy(data.pixels[rows])
        yield augment(images, recipe, seed=99, epoch=0, samples=rows)


def scale_as(network: Network, imagenet: dict[str, Tensor]) -> None:
    """Give each channel of a convolution the length that it had at first; batch norm takes the rest."""
    last = ""
    for name, layer in network.named_modules():
        if isinstance(layer, nn.Conv2d):
            last = name
        elif isinstance(layer, nn.BatchNorm2d):
            weight = network.get_parameter(f"{last}.weight").data
            length = weight.flatten(1).norm(dim=1)
            wanted = imagenet[f"{last.removeprefix(FIRST)}.weight"].flatten(1).norm(dim=1)
            scale = torch.where((length < LEAST) | (wanted < LEAST), 1.0, wanted / length)
            weight.mul_(scale.view(-1, 1, 1, 1))
            layer.weight.data.div_(scale)


def main(recipe_file: str, folder: str, imagenet: str, out: str, *bundles: str) -> None:
    """Write the run folder."""
    recipe = load_recipe(recipe_file, ["weights=none"])
    data = prepare(Path(folder), recipe, split=SPLIT)
    first = {} if imagenet == "none" else dict(read_weights(imagenet).state)
    states = []
    for seed, bundle in enumerate(bundles):
        path, _, member = bundle.partition(":")
        network = fresh_network(recipe)
        content = Path(path).read_bytes()
        network.load_state_dict(unfold(content, network, recipe.crop_size, member=int(member or 0)))
        if first:
            scale_as(network, first)
        measure_statistics(network, views(recipe, data, seed))
        states.append(network.state_dict())
    network.load_state_dict(mean_of(states))
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.reset_running_stats()
            layer.momentum = None
    with torch.inference_mode():
        for images in views(recipe, data, len(states)):
            network.train()(images)
    run = RunFolder(Path(out))
    run.checkpoints.mkdir(parents=True)
    shutil.copy(recipe_file, run.config)
    shutil.copy(SPLIT, run.split)
    state = {f"network.{name}": value for name, value in network.state_dict().items()}
    torch.save({"state_dict": state}, run.best)


if __name__ == "__main__":
    main(*sys.argv[1:])
