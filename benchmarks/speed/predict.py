"""`predict` beside its parts and beside a plain PyTorch loop, in turn on the same files.

    python benchmarks/speed/predict.py FOLDER MODEL ROUNDS [RUN]

FOLDER holds images, MODEL is a bundle and RUN the run that it was exported from; without it the loop is left
out.
"""

import statistics
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from time import perf_counter

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from lesionwise.bundle.engine import BATCH, Engine, load_model
from lesionwise.data.images import read_image
from lesionwise.data.pictures import find_pictures
from lesionwise.execution import usable_cores
from lesionwise.predict.files import Output, predict_files
from lesionwise.recipe import load_recipe
from lesionwise.run_folder import open_run_folder
from lesionwise.training.fit import load_best_network
from lesionwise.training.step.augment import evaluation_view


def decoding(engine: Engine, paths: list[Path]) -> None:
    with ThreadPoolExecutor(usable_cores()) as pool:
        for _ in pool.map(partial(read_image, size=engine.description.input.size), paths, chunksize=1):
            pass


def network(engine: Engine, paths: list[Path]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (BATCH, *engine.description.input.size, 3), np.uint8)
    with ThreadPoolExecutor(engine.streams) as pool:
        for _ in pool.map(lambda _: engine.run(pixels), range(0, len(paths), BATCH)):
            pass


def whole(engine: Engine, folder: str) -> None:
    with tempfile.TemporaryDirectory() as out:
        predict_files(engine, find_pictures([folder]), Output(Path(out) / "p.csv", Path(out) / "e.csv"))


def plain_loop(run: str, paths: list[Path]) -> None:
    """What a notebook does: Pillow, a DataLoader with a worker per core, fp32 PyTorch."""
    folder = open_run_folder(Path(run))
    recipe = load_recipe(str(folder.config))
    network = load_best_network(folder, recipe).eval()

    class Files(Dataset):
        def __len__(self) -> int:
            return len(paths)

        def __getitem__(self, row: int) -> np.ndarray:
            with Image.open(paths[row]) as image:
                size = recipe.image_size[::-1]
                return np.asarray(image.convert("RGB").resize(size, Image.Resampling.BICUBIC))

    with torch.inference_mode():
        for batch in DataLoader(Files(), BATCH, num_workers=usable_cores()):
            network(evaluation_view(batch, recipe)).softmax(1)


def timed(job: Callable[[], None], count: int) -> float:
    started = perf_counter()
    job()
    return count / (perf_counter() - started)


def main(folder: str, model: str, rounds: str, run: str = "") -> None:
    engine = load_model(model, streams=usable_cores())
    paths = sorted(Path(folder).rglob("*.jpg"))
    jobs = {
        "decoding alone": partial(decoding, engine, paths),
        "network alone": partial(network, engine, paths),
        "predict": partial(whole, engine, folder),
    }
    if run:
        jobs["PyTorch DataLoader loop"] = partial(plain_loop, run, paths)
    speeds: dict[str, list[float]] = {name: [] for name in jobs}
    for _ in range(int(rounds)):
        for name, job in jobs.items():
            speeds[name].append(timed(job, len(paths)))
    ours = statistics.median(speeds["predict"])
    for name, values in speeds.items():
        middle = statistics.median(values)
        print(f"{name:25} {middle:7.0f} images/s   predict is {ours / middle:.2f} times as fast")
    decoded, run_ = (statistics.median(speeds[name]) for name in ("decoding alone", "network alone"))
    print(f"both on cores that are all busy: {1 / (1 / decoded + 1 / run_):.0f} images/s")


if __name__ == "__main__":
    main(*sys.argv[1:])
