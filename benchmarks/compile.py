"""A training step of a recipe in fp32, in bf16, and either compiled, in turn on one batch that lies ready.

    python benchmarks/compile.py RECIPE [KEY=VALUE …]
"""

import logging
import sys
from time import perf_counter

import torch

from lesionwise.labels import CODES
from lesionwise.recipe import load_recipe
from lesionwise.training.fit import fresh_network
from lesionwise.training.hardware import keep_memory
from lesionwise.training.losses import Loss
from lesionwise.training.optim import make_optimizer

WARM_UP = 3
SECONDS = 8
ROUNDS = 2


def main(name: str, changes: list[str]) -> None:
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)
    keep_memory()
    torch.manual_seed(0)
    recipe = load_recipe(name, ["weights=none", *changes])
    network = fresh_network(recipe).to(memory_format=torch.channels_last)
    optimizer = make_optimizer(network, recipe)
    loss = Loss.of(recipe, torch.ones(len(CODES)))
    images = torch.rand(recipe.batch_size, 3, *recipe.crop_size).contiguous(memory_format=torch.channels_last)
    targets = torch.eye(len(CODES))[torch.arange(recipe.batch_size) % len(CODES)]
    ways = {"plain": network, "compiled": torch.compile(network)}
    for _ in range(ROUNDS):
        for way, forward in ways.items():
            for bf16 in (False, True):

                def step() -> None:
                    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):  # noqa: B023 (called in this round)
                        value = loss(forward(images), targets)  # noqa: B023
                    optimizer.zero_grad()
                    value.backward()
                    optimizer.step()

                for _ in range(WARM_UP):
                    step()
                started, done = perf_counter(), 0
                while perf_counter() - started < SECONDS:
                    step()
                    done += recipe.batch_size
                pace = done / (perf_counter() - started)
                print(f"{name} {way} {'bf16' if bf16 else 'fp32'}: {pace:.1f} images/s", flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
