"""Training on real data beside the bare step on a batch that is already augmented, in turn in one run.

    python benchmarks/training.py RECIPE DIR SPLIT [ROUNDS]

The bare step is forward, backward and optimiser of the same network in the same precision and memory layout,
on one fixed batch. Training is `lesionwise train`: memory map, augmentation, Lightning, history and all.
"""

import statistics
import sys
import tempfile
from pathlib import Path
from time import perf_counter

import pandas as pd
import torch

from lesionwise.labels import CODES
from lesionwise.recipe import Recipe, load_recipe
from lesionwise.run_folder import read_json
from lesionwise.training.fit import fresh_network
from lesionwise.training.hardware import choose_precision, keep_memory
from lesionwise.training.losses import Loss
from lesionwise.training.optim import make_optimizer
from lesionwise.training.run import train

WARM_UP = 5
SECONDS = 12


def bare_images_per_second(recipe: Recipe) -> float:
    keep_memory()
    torch.manual_seed(0)
    network = fresh_network(recipe).to(memory_format=torch.channels_last)
    bf16 = choose_precision("cpu", network) == "bf16-mixed"
    loss = Loss.of(recipe, torch.ones(len(CODES)))
    optimizer = make_optimizer(network, recipe)
    images = torch.rand(recipe.batch_size, 3, *recipe.crop_size).contiguous(memory_format=torch.channels_last)
    targets = torch.eye(len(CODES))[torch.arange(recipe.batch_size) % len(CODES)]
    steps = 0
    while True:
        if steps == WARM_UP:
            started = perf_counter()
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            value = loss(network(images), targets)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        steps += 1
        if steps > WARM_UP and perf_counter() - started > SECONDS:
            return (steps - WARM_UP) * recipe.batch_size / (perf_counter() - started)


def main(name: str, folder: str, split: str, rounds: int) -> None:
    recipe = load_recipe(name, ["epochs=1"])
    ratios = []
    for _ in range(rounds):
        bare = bare_images_per_second(recipe)
        with tempfile.TemporaryDirectory() as out:
            run = train(recipe, folder, out=Path(out) / "run", split=split)
            real = float(pd.read_csv(run.history)["images_per_second"].iloc[0])
            timing = read_json(run.timing)["train"]
        ratios.append(real / bare)
        parts = ", ".join(f"{part} {seconds:.1f} s" for part, seconds in timing["parts"].items())
        print(f"bare {bare:.0f}  training {real:.0f} images/s  ratio {ratios[-1]:.3f}")
        print(f"  peak {timing['peak_mb']:.0f} MB, {parts}", flush=True)
    print(f"{name}: median ratio {statistics.median(ratios):.3f} over {rounds} rounds")


if __name__ == "__main__":
    main(*sys.argv[1:4], int(sys.argv[4]) if sys.argv[4:] else 3)
