"""Two checkouts of this package in turn: images per second from decoded images, and `predict` over files.

    python benchmarks/speed/versions.py EARLIER NOW IMAGES [PRECISION …] [--models MODEL …] [--only WHAT …]

EARLIER and NOW are checkouts with the models that they include, IMAGES is a folder of pictures. Each
measurement has a process of its own that reads one checkout's code and model; they take turns. NOW computes
in each PRECISION, by default fp32, as EARLIER does. From decoded images, as many threads as cores call the
engine with batches, as `predict` does. WHAT is a size of batches or "files", which is `predict`. Printed are
medians by wall time and the best by processor time, and what NOW has of EARLIER.
"""

import argparse
import itertools
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

from engine_speed import pace

if TYPE_CHECKING:
    from lesionwise.bundle.precision import Wished

MODELS = ("best", "larger")
BATCHES = (1, 8, 32)
SECONDS = 4
ROUNDS = 3
READ = 256  # images that are decoded once


def decoded(model: str, images: str, precision: "Wished", batch: str) -> tuple[float, float]:
    """Return the images per second of wall time and of processor time, in this process."""
    cores, pictures = len(os.sched_getaffinity(0)), sorted(Path(images).iterdir())[:READ]
    return pace(model, cores, cores, int(batch), SECONDS, pictures=pictures, precision=precision)


def predict(model: str, images: str, precision: str) -> tuple[float, float]:
    """Return the files per second of wall time and of processor time of the whole command."""
    count = sum(1 for _ in Path(images).iterdir())
    with tempfile.TemporaryDirectory() as out:
        command = [sys.executable, "-m", "lesionwise", "predict", images, "--model", model, "--quiet"]
        command += ["--precision", precision]
        wall, before = perf_counter(), os.times()
        subprocess.run([*command, "--out", f"{out}/p.csv"], check=True, capture_output=True)
        after = os.times()
    processor = after.children_user - before.children_user + after.children_system - before.children_system
    return count / (perf_counter() - wall), count / processor


def ask(checkout: str, way: str, model: str, settings: list[str]) -> list[float]:
    """Return what a process prints that imports the package from a checkout."""
    source = Path(checkout) / "src"
    bundle = source / "lesionwise" / "weights" / f"{model}.onnx"
    printed = subprocess.run(
        [sys.executable, __file__, way, str(bundle), *settings],
        check=True, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(source)},
    ).stdout  # fmt: skip
    return [float(number) for number in printed.split()]


def main() -> None:
    """Print a table of all measurements."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    for name in ("earlier", "now", "images"):
        parser.add_argument(name)
    parser.add_argument("precisions", nargs="*", default=["fp32"])
    parser.add_argument("--models", nargs="+", default=MODELS)
    parser.add_argument("--only", nargs="+", default=[*map(str, BATCHES), "files"])
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    given = parser.parse_args()
    print("| measurement | model | format | earlier, images/s | now, images/s | ratio | of processor time |")
    print("|---|---|---|---|---|---|---|")
    sides = [(given.earlier, "fp32"), *((given.now, precision) for precision in given.precisions)]
    for model, what in itertools.product(given.models, given.only):
        way, rest = ("files", []) if what == "files" else ("decoded", [what])
        found = [
            [ask(checkout, way, model, [given.images, precision, *rest]) for checkout, precision in sides]
            for _ in range(given.rounds)
        ]
        walls = [statistics.median(own[0] for own in side) for side in zip(*found, strict=True)]
        processors = [max(own[1] for own in side) for side in zip(*found, strict=True)]
        title = f"decoded, batches of {what}" if rest else "predict, files"
        for precision, wall, processor in zip(given.precisions, walls[1:], processors[1:], strict=True):
            ratios = f"{wall / walls[0]:.2f} | {processor / processors[0]:.2f}"
            print(f"| {title} | {model} | {precision} | {walls[0]:.1f} | {wall:.1f} | {ratios} |", flush=True)


if __name__ == "__main__":
    ways = {"decoded": decoded, "files": predict}
    if sys.argv[1] in ways:
        print(*ways[sys.argv[1]](*sys.argv[2:]))
    else:
        main()
