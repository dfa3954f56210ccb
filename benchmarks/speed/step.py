"""The training step of a recipe by number format, `torch.compile`, batch size and threads.

    python benchmarks/speed/step.py RECIPE [BATCH …]

Each way runs in a process of its own, for ten seconds, on one batch that lies ready: forward, backward and
optimiser. The pace is that of the fastest step, and that of all; the memory is the peak of the process, with
the compiler's start. The seconds before are those of the first two steps, in which `torch.compile` works.
"""

import itertools
import resource
import subprocess
import sys
from time import perf_counter

import torch

from lesionwise.recipe import load_recipe
from training import bare_step  # type: ignore[attr-defined]  # mypy finds a folder of tests

SECONDS = 10
WARM_UP = 2


def measure(name: str, number_format: str, compiled: str, batch: int, threads: int) -> None:
    """Print one row."""
    torch.set_num_threads(threads)
    changes = ["weights=none", f"batch_size={batch}", f"compile={str(compiled == 'compiled').lower()}"]
    step = bare_step(load_recipe(name, changes), bf16=number_format == "bf16")
    started = perf_counter()
    for _ in range(WARM_UP):
        step()
    before = perf_counter() - started
    shortest, steps, started = float("inf"), 0, perf_counter()
    while perf_counter() - started < SECONDS:
        begun = perf_counter()
        step()
        shortest, steps = min(shortest, perf_counter() - begun), steps + 1
    pace = batch * steps / (perf_counter() - started)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(
        f"| {threads} | {number_format} | {compiled} | {batch} | {batch / shortest:.1f} | {pace:.1f} "
        f"| {before:.0f} s | {peak:.2f} GB |"
    )


def main(name: str, batches: list[str]) -> None:
    print("| threads | format | | batch | images/s, best | images/s, mean | first steps | peak memory |")
    print("|---|---|---|---|---|---|---|---|", flush=True)
    for way in itertools.product(("2", "1"), ("fp32", "bf16"), ("as written", "compiled"), batches):
        threads, number_format, compiled, batch = way
        command = [sys.executable, __file__, "--one", name, number_format, compiled, batch, threads]
        subprocess.run(command, check=True, stderr=subprocess.DEVNULL)


if __name__ == "__main__":
    if sys.argv[1] == "--one":
        name, number_format, compiled, batch, threads = sys.argv[2:]
        measure(name, number_format, compiled, int(batch), int(threads))
    else:
        main(sys.argv[1], sys.argv[2:] or ["64", "16"])
