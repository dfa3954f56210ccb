"""The image cache beside decoding alone, in turn in one run.

    python benchmarks/speed/cache.py DIR [ROUNDS]

Decoding alone: libjpeg-turbo at half scale on all cores, the pixels thrown away. The cache does the same, and
hashes every file, keeps the pixels, flushes them to disk and notes what is done.
"""

import os
import shutil
import statistics
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import perf_counter, process_time

import simplejpeg

from lesionwise.data.cache import CHUNK, open_cache
from lesionwise.data.dataset import read_dataset
from lesionwise.execution import Execution

SIZE = (225, 300)


def decode_chunk(paths: list[Path]) -> None:
    for path in paths:
        simplejpeg.decode_jpeg(path.read_bytes(), min_height=SIZE[0], min_width=SIZE[1])


def decode_alone(paths: list[Path]) -> None:
    chunks = [paths[start : start + CHUNK] for start in range(0, len(paths), CHUNK)]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(decode_chunk, chunks))


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Return wall and processor seconds."""
    wall, cpu = perf_counter(), process_time()
    work()
    return perf_counter() - wall, process_time() - cpu


def main(folder: str, rounds: int) -> None:
    dataset = read_dataset(folder)
    decode_alone(dataset.paths)  # files into memory, once for both
    walls, cpus = [], []
    for _ in range(rounds):
        alone = timed(lambda: decode_alone(dataset.paths))
        root = Path(tempfile.mkdtemp(dir="."))
        cache = timed(lambda: open_cache(dataset, SIZE, execution=Execution(cache_root=root)))  # noqa: B023 (called at once)
        again = timed(lambda: open_cache(dataset, SIZE, execution=Execution(cache_root=root)))  # noqa: B023 (the same)
        shutil.rmtree(root)
        walls.append(cache[0] / alone[0])
        cpus.append(cache[1] / alone[1])
        print(
            f"decoding {alone[0]:.2f} s ({alone[1]:.2f} cpu)  cache {cache[0]:.2f} s ({cache[1]:.2f} cpu)  "
            f"ratio {walls[-1]:.3f} ({cpus[-1]:.3f} cpu)  opened again {again[0]:.2f} s"
        )
    print(
        f"median ratio {statistics.median(walls):.3f} wall, {statistics.median(cpus):.3f} processor time, "
        f"{rounds} rounds of {len(dataset.paths)} images"
    )


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]) if sys.argv[2:] else 5)
