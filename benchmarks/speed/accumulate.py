"""A training step of a recipe whose batch is computed in 1, 2, 4, 8 or 16 parts: pace and memory, in turn.

    OMP_NUM_THREADS=1 python benchmarks/speed/accumulate.py RECIPE [KEY=VALUE …]

Each measurement has a process of its own, on one batch that lies ready: forward, backward and optimiser. Pace
is images per second of processor time, from the fastest of some steps, because others use the machine too.
"""

import resource
import subprocess
import sys
from time import process_time

import torch

from lesionwise.labels import CODES
from lesionwise.recipe import Recipe, load_recipe
from lesionwise.training.fit import fresh_network
from lesionwise.training.loop.hardware import keep_memory
from lesionwise.training.step.losses import Loss
from lesionwise.training.step.optim import make_optimizer

PARTS = (1, 2, 4, 8, 16)
ROUNDS = 3
STEPS = 5


def pace(recipe: Recipe) -> float:
    """Return the images per second of processor time of the fastest step."""
    keep_memory()
    torch.manual_seed(0)
    network = fresh_network(recipe).to(memory_format=torch.channels_last)
    loss = Loss(recipe, torch.ones(len(CODES)))
    optimizer = make_optimizer(network, recipe)
    images = torch.rand(recipe.batch_size, 3, *recipe.crop_size).contiguous(memory_format=torch.channels_last)
    targets = torch.eye(len(CODES))[torch.arange(recipe.batch_size) % len(CODES)]
    best = float("inf")
    for _ in range(STEPS):
        started = process_time()
        optimizer.zero_grad()
        for seen, wanted in zip(
            images.chunk(recipe.accumulate), targets.chunk(recipe.accumulate), strict=True
        ):
            (loss(network(seen), wanted) / recipe.accumulate).backward()
        optimizer.step()
        best = min(best, process_time() - started)
    return recipe.batch_size / best


def main(name: str, changes: list[str]) -> None:
    """Print one measurement, if `accumulate` is among the changes, or a table of all."""
    if any(change.startswith("accumulate=") for change in changes):
        found = pace(load_recipe(name, ["weights=none", *changes]))
        print(found, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6)
        return
    measured: dict[int, list[list[float]]] = {parts: [] for parts in PARTS}
    for _ in range(ROUNDS):
        for parts in PARTS:
            command = [sys.executable, __file__, name, *changes, f"accumulate={parts}"]
            printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            measured[parts].append([float(number) for number in printed.split()])
    whole = max(found[0] for found in measured[1])
    print("| parts | images/s of a core | of the whole batch | peak memory |\n|---|---|---|---|")
    for parts, paces in measured.items():
        fastest, memory = (max(found[column] for found in paces) for column in (0, 1))
        print(f"| {parts} | {fastest:.1f} | {fastest / whole:.2f} | {memory:.2f} GB |")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
