"""Training on real data beside the bare step on a batch that is already augmented, in turn in one run.

    python benchmarks/speed/training.py RECIPE DIR SPLIT [ROUNDS [KEY=VALUE …]]

The bare step is forward, backward and optimiser of the same network in the same precision and memory layout,
on one fixed batch that lies on the device. Training is `lesionwise train`: memory map, augmentation,
Lightning, history and all. For a network of timm the same training files are also given to timm's own data
path and step: what its training script does with them at its defaults; on the CPU with one loader process,
with CUDA with one for each core, its prefetcher and, which is no default, bf16.
"""

import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from time import perf_counter

import pandas as pd
import torch

from lesionwise.data.dataset import read_dataset
from lesionwise.execution import usable_cores
from lesionwise.files import read_json
from lesionwise.labels import CODES
from lesionwise.recipe import Recipe, load_recipe
from lesionwise.split.split_file import read_split
from lesionwise.training.fit import fresh_network
from lesionwise.training.loop.hardware import choose_precision, keep_memory
from lesionwise.training.run import train
from lesionwise.training.step.losses import Loss
from lesionwise.training.step.optim import make_optimizer

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
WARM_UP = 5
SECONDS = 12 if DEVICE == "cpu" else 6
EPOCHS = 1 if DEVICE == "cpu" else 4  # of which the last counts: a GPU finds its kernels in the first


def bare_step(recipe: Recipe, *, bf16: bool | None = None) -> Callable[[], None]:
    """Return the step alone, in the precision that training chooses or in the one asked for."""
    keep_memory()
    torch.manual_seed(0)
    network = fresh_network(recipe).to(DEVICE).to(memory_format=torch.channels_last)
    forward = torch.compile(network) if recipe.compile else network
    if bf16 is None:
        bf16 = choose_precision(DEVICE, network, (recipe.batch_size, *recipe.crop_size)) == "bf16-mixed"
    loss = Loss(recipe, torch.ones(len(CODES))).to(torch.device(DEVICE))
    optimizer = make_optimizer(network, recipe)
    images = torch.rand(recipe.batch_size, 3, *recipe.crop_size, device=DEVICE)
    images = images.contiguous(memory_format=torch.channels_last)
    targets = torch.eye(len(CODES), device=DEVICE)[torch.arange(recipe.batch_size) % len(CODES)]

    def step() -> None:
        with torch.autocast(DEVICE, torch.bfloat16, enabled=bf16):
            value = loss(forward(images), targets)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()

    return step


def images_per_second(steps: Iterator[None], batch_size: int) -> float:
    for _ in range(WARM_UP):
        next(steps)
    finish()
    started, done = perf_counter(), 0
    while perf_counter() - started < SECONDS:
        next(steps)
        done += batch_size
    finish()
    return done / (perf_counter() - started)


def finish() -> None:
    """Wait for what a GPU was asked to do."""
    if DEVICE == "cuda":
        torch.cuda.synchronize()


def timm_images_per_second(recipe: Recipe, files: dict[str, list[Path]]) -> float:
    """Return the pace of timm's data path and step on files by class, as its training script runs them."""
    import timm  # noqa: PLC0415 (seconds)
    from timm.data import create_dataset, create_loader  # noqa: PLC0415
    from timm.loss import LabelSmoothingCrossEntropy  # noqa: PLC0415
    from timm.optim import create_optimizer_v2  # noqa: PLC0415

    keep_memory()
    network = timm.create_model(
        recipe.model.removeprefix("timm:"), num_classes=len(CODES), **recipe.model_args
    )
    network = network.train().to(DEVICE).to(memory_format=torch.channels_last)
    on_gpu = DEVICE == "cuda"
    optimizer = create_optimizer_v2(network, opt="adamw", lr=1e-4, weight_decay=recipe.weight_decay)
    loss = LabelSmoothingCrossEntropy(0.1)
    with tempfile.TemporaryDirectory() as root:
        for code, paths in files.items():
            (Path(root) / code).mkdir()
            for path in paths:
                (Path(root) / code / path.name).symlink_to(path.resolve())
        loader = create_loader(
            create_dataset("", root=root),
            input_size=(3, *recipe.crop_size),
            batch_size=recipe.batch_size,
            is_training=True,
            use_prefetcher=on_gpu,
            color_jitter=0.4,
            num_workers=usable_cores() if on_gpu else 1,
            device=torch.device(DEVICE),
        )

        def steps() -> Iterator[None]:
            while True:
                for images, targets in loader:
                    with torch.autocast(DEVICE, torch.bfloat16, enabled=on_gpu):
                        value = loss(network(images.contiguous(memory_format=torch.channels_last)), targets)
                    optimizer.zero_grad()
                    value.backward()
                    optimizer.step()
                    yield

        return images_per_second(steps(), recipe.batch_size)


def training_files(folder: str, split: str) -> dict[str, list[Path]]:
    data = read_dataset(Path(folder))
    part = read_split(Path(split)).frame.set_index("image_id")["part"]
    chosen = (part.reindex(data.table["image_id"]) == "train").to_numpy()
    paths = data.paths
    files: dict[str, list[Path]] = {code: [] for code in CODES}
    for row in chosen.nonzero()[0]:
        files[CODES[data.y[row]]].append(paths[row])
    return files


def main(name: str, folder: str, split: str, rounds: int, changes: list[str]) -> None:
    # Views cost time after training alone.
    recipe = load_recipe(name, [f"epochs={EPOCHS}", "tta=1", *changes])
    ratios: dict[str, list[float]] = {"bare": [], "timm": []}
    for _ in range(rounds):
        step = bare_step(recipe)
        paces = {"bare": images_per_second((step() for _ in count()), recipe.batch_size)}
        if recipe.model.startswith("timm:"):
            paces["timm"] = timm_images_per_second(recipe, training_files(folder, split))
        print("  ".join(f"{way} {pace:.1f}" for way, pace in paces.items()), "images/s", flush=True)
        with tempfile.TemporaryDirectory() as out:
            run = train(recipe, folder, out=Path(out) / "run", split=split)
            real = float(pd.read_csv(run.history)["images_per_second"].iloc[-1])
            timing = read_json(run.timing)["train"]
        parts = ", ".join(f"{part} {seconds:.1f} s" for part, seconds in timing["parts"].items())
        print(f"training {real:.1f} images/s, peak {timing['peak_mb']:.0f} MB, {parts}", flush=True)
        for way, pace in paces.items():
            ratios[way].append(real / pace)
    for way, found in ratios.items():
        if found:
            print(f"{name} beside {way}: median ratio {statistics.median(found):.3f} over {rounds} rounds")


if __name__ == "__main__":
    name, folder, split, *rest = sys.argv[1:]
    main(name, folder, split, int(rest[0]) if rest else 3, rest[1:])
