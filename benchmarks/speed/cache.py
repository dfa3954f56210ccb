"""The image cache beside decoding alone, in turn in one run.

    python benchmarks/speed/cache.py DIR [ROUNDS]

Decoding alone: libjpeg-turbo at half scale on all cores, the pixels thrown away. The cache does the same, and
hashes every file, keeps the pixels, flushes them to disk and notes what is done. A whole cache is opened
twice: as every command does it, which compares all pixels with their checksums, and without that.
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

from lesionwise.data.cache import CHUNK, data_fingerprint, open_cache
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
    walls, cpus, checks = [], [], []
    for _ in range(rounds):
        alone = timed(lambda: decode_alone(dataset.paths))
        root = Path(tempfile.mkdtemp(dir="."))
        execution = Execution(cache_root=root)
        cache = timed(lambda: open_cache(dataset, SIZE, execution=execution))  # noqa: B023 (called at once)
        again = timed(lambda: open_cache(dataset, SIZE, execution=execution))  # noqa: B023 (the same)
        unchecked = timed(lambda: data_fingerprint(dataset, SIZE, execution=execution))  # noqa: B023 (the same)
        shutil.rmtree(root)
        walls.append(cache[0] / alone[0])
        cpus.append(cache[1] / alone[1])
        checks.append((again[1] - unchecked[1]) / cache[1])
        what = {"decoding": alone, "cache": cache, "opened again": again, "without comparing": unchecked}
        print(
            ", ".join(f"{name} {wall:.2f} s ({cpu:.3f} cpu)" for name, (wall, cpu) in what.items()),
            flush=True,
        )
    print(
        f"median ratio {statistics.median(walls):.3f} wall, {statistics.median(cpus):.3f} processor time; "
        f"comparing pixels with checksums costs {statistics.median(checks):.4f} of making the cache, in "
        f"processor time; {rounds} rounds of {len(dataset.paths)} images"
    )


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]) if sys.argv[2:] else 5)
