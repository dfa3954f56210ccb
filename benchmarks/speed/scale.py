"""The pipeline on many rows: time and memory of each stage, and how they grow with the rows.

    python benchmarks/speed/scale.py OUT ROWS...

Each row is an image of its own: one of a few phantoms, mirrored, shifted and recoloured, as a small JPEG, so
that no two are equal. Diagnoses stand in HAM10000's proportions, lesions have one to three photographs. The
images of a size are deleted when it is measured. Seconds of the processor are those of all threads; memory is
the highest anonymous one while the stage runs, which is what a machine must have: pages of the memory map
come and go. Each number of rows runs in a process of its own.
"""

import csv
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter, process_time, sleep
from typing import Any

import numpy as np
import simplejpeg

from lesionwise.data.cache import open_cache
from lesionwise.data.dataset import read_dataset
from lesionwise.data.identical import identical_images
from lesionwise.data.images import read_image
from lesionwise.data.phantom import write_phantom
from lesionwise.evaluation.runs.scores import evaluate_part
from lesionwise.execution import Execution
from lesionwise.experiments.image_facts import about_part
from lesionwise.files import read_json, write_json
from lesionwise.labels import CODES
from lesionwise.progress import Progress
from lesionwise.recipe import load_recipe
from lesionwise.run_folder import RunFolder
from lesionwise.split.assign import make_split
from lesionwise.split.split_file import verify_split, write_split
from lesionwise.training.run import train

SHARES = np.array([327, 514, 1099, 115, 1113, 6705, 142]) / 10_015  # of HAM10000, in the order of CODES
PHOTOGRAPHS = (0.72, 0.22, 0.06)  # one, two or three of a lesion: some 4 images of 3 lesions, as there
DRAWN = (120, 160)
SIZE = [48, 64]
RECIPE = [f"image_size={SIZE}", "epochs=1", "eval_zoom=1.0"]
STARTS = (0.1, 0.5, 1.0)  # parts of the epoch at which memory is noted


def anonymous_mb() -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon"):
            return int(line.split()[1]) / 1e3
    return float("nan")


@contextmanager
def watched(stages: dict[str, Any], name: str) -> Iterator[None]:
    highest, done = [anonymous_mb()], threading.Event()

    def look() -> None:
        while not done.is_set():
            highest[0] = max(highest[0], anonymous_mb())
            sleep(0.02)

    watcher = threading.Thread(target=look, daemon=True)
    watcher.start()
    wall, cpu = perf_counter(), process_time()
    yield
    seconds = {"wall_s": perf_counter() - wall, "cpu_s": process_time() - cpu}
    done.set()
    watcher.join()
    stages[name] = {**seconds, "peak_mb": highest[0]}
    print(
        f"  {name:10} {seconds['wall_s']:8.1f} s  {seconds['cpu_s']:8.1f} s cpu  {highest[0]:7.0f} MB",
        flush=True,
    )


def write_rows(folder: Path, phantom: Path, rows: int) -> None:
    dataset = read_dataset(phantom)
    drawn = np.stack([read_image(path, DRAWN) for path in dataset.paths])
    of_class = [np.flatnonzero(dataset.y == index) for index in range(len(CODES))]
    rng = np.random.default_rng(0)
    images = folder / "HAM10000_images_part_1"
    images.mkdir(parents=True)
    with (folder / "HAM10000_metadata.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["lesion_id", "image_id", "dx", "dx_type", "age", "sex", "localization"])
        row = lesion = 0
        while row < rows:
            dx = int(rng.choice(len(CODES), p=SHARES))
            for _ in range(min(rng.choice([1, 2, 3], p=PHOTOGRAPHS), rows - row)):
                image_id = f"SCALE_{row:07d}"
                pixels = drawn[rng.choice(of_class[dx])][:: rng.choice([-1, 1]), :: rng.choice([-1, 1])]
                pixels = np.roll(pixels, rng.integers(-20, 21, 2), (0, 1)) * rng.uniform(0.8, 1.2, 3)
                content = simplejpeg.encode_jpeg(
                    np.ascontiguousarray(pixels.clip(0, 255).astype(np.uint8)), 80
                )
                (images / f"{image_id}.jpg").write_bytes(content)
                table.writerow([f"LESION_{lesion:07d}", image_id, CODES[dx], "histo", 50, "female", "back"])
                row += 1
            lesion += 1


class MemoryWatch(Progress):
    def __init__(self) -> None:
        self.noted: list[float] = []

    def on_step(self, epoch: int, done: int, total: int) -> None:
        if len(self.noted) < len(STARTS) and done >= STARTS[len(self.noted)] * total:
            self.noted.append(anonymous_mb())


def measure(out: Path, rows: int) -> None:
    folder, split_file, cache_root = out / f"data-{rows}", out / f"split-{rows}.csv", out / f"cache-{rows}"
    run = RunFolder(out / f"run-{rows}")
    stages: dict[str, Any] = {}
    memory = MemoryWatch()
    with watched(stages, "table"):
        dataset = read_dataset(folder)
    with watched(stages, "cache"):
        cache = open_cache(dataset, (SIZE[0], SIZE[1]), execution=Execution(cache_root=cache_root))
    with watched(stages, "identical"):
        pairs = identical_images(dataset, cache.pixels)
    with watched(stages, "split"):
        split = make_split(dataset, pairs=pairs)
        verify_split(split, dataset, pairs=pairs)
        write_split(split, split_file)
    recipe = load_recipe("small", RECIPE)
    with watched(stages, "train"):
        train(
            recipe,
            folder,
            out=run.path,
            split=split_file,
            execution=Execution(cache_root=cache_root, progress=memory),
        )
    with watched(stages, "evaluate"):
        evaluate_part(run, "val", table=about_part(run, "val")[0])
    timing = read_json(run.timing)
    facts = {
        "rows": rows,
        "lesions": dataset.table["lesion_id"].nunique(),
        "val": len(split.image_ids("val")),
        "cache_mb": cache.pixels.nbytes / 1e6,
        "stages": stages,
        "in_train": {name: timing[name]["seconds"] for name in timing},
        "memory_mb": memory.noted,
    }
    write_json(out / f"scale-{rows}.json", facts)


def show(out: Path, numbers: list[int]) -> None:
    found = [read_json(out / f"scale-{rows}.json") for rows in numbers]
    for one in found:
        print({key: one[key] for key in ("rows", "lesions", "val", "cache_mb", "memory_mb", "in_train")})
    print("| stage | " + " | ".join(f"{rows:,} rows, s (cpu), MB" for rows in numbers) + " | cpu grows by |")
    print("|---" * (len(numbers) + 2) + "|")
    for name in found[0]["stages"]:
        each = [one["stages"][name] for one in found]
        cells = [f"{one['wall_s']:.1f} ({one['cpu_s']:.1f}), {one['peak_mb']:.0f}" for one in each]
        print(f"| {name} | {' | '.join(cells)} | {each[-1]['cpu_s'] / each[0]['cpu_s']:.1f} |")


def main(out: Path, numbers: list[int]) -> None:
    phantom = out / "phantom"
    if not phantom.exists():
        write_phantom(phantom, lesions_per_class=6)
    for rows in numbers:
        if (out / f"scale-{rows}.json").exists():
            continue
        folder = out / f"data-{rows}"
        if not folder.exists():
            write_rows(folder, phantom, rows)
        print(f"{rows} rows", flush=True)
        subprocess.run([sys.executable, __file__, "--measure", str(out), str(rows)], check=True)
        shutil.rmtree(folder)
        shutil.rmtree(out / f"cache-{rows}")
        shutil.rmtree(out / f"run-{rows}")
    show(out, numbers)


if __name__ == "__main__":
    if sys.argv[1] == "--measure":
        measure(Path(sys.argv[2]), int(sys.argv[3]))
    else:
        main(Path(sys.argv[1]), [int(rows) for rows in sys.argv[2:]])
