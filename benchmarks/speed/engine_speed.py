"""Images per second of a bundle from decoded images, by cores, streams and batch size.

    python benchmarks/speed/engine_speed.py src/lesionwise/weights/best.onnx

With as many streams as cores each core computes batches of its own, as `lesionwise predict` does; with one
stream all cores compute one batch, as `load_model(…).predict` does.
"""

import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle
from pathlib import Path
from time import perf_counter, process_time
from typing import TYPE_CHECKING

import numpy as np

from lesionwise import load_model

if TYPE_CHECKING:
    from lesionwise.bundle.precision import Wished

SECONDS = 6


def pace(
    path: str,
    threads: int,
    streams: int,
    batch: int,
    seconds: float = SECONDS,
    *,
    pictures: Sequence[Path] = (),
    precision: "Wished | None" = None,
) -> tuple[float, float]:
    """Return the images per second of wall time and of processor time.

    Args:
        pictures: Files whose images are computed in turn; without any, noise is.
    """
    engine = load_model(path, threads=threads, streams=streams, precision=precision)
    height, width = engine.description.input.size
    if pictures:
        images = np.stack([engine.read(file) for file in pictures])
    else:
        images = np.random.default_rng(0).integers(0, 255, (batch, height, width, 3), dtype=np.uint8)
    batches = [images[first : first + batch] for first in range(0, len(images) - batch + 1, batch)]

    def run(until: float) -> int:
        done, each = 0, cycle(batches)
        while perf_counter() < until:
            engine.run(next(each))
            done += batch
        return done

    with ThreadPoolExecutor(streams) as callers:
        list(callers.map(run, [perf_counter() + 0.5] * streams))
        wall, processor = perf_counter(), process_time()
        done = sum(callers.map(run, [wall + seconds] * streams))
        return done / (perf_counter() - wall), done / (process_time() - processor)


def main(path: str) -> None:
    for threads, streams in ((2, 2), (2, 1), (1, 1)):
        for batch in (1, 8, 32):
            found, _ = pace(path, threads, streams, batch)
            print(f"{threads} cores, {streams} streams, batches of {batch}: {found:.1f} images/s", flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
