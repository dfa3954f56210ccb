"""How a command runs: on which hardware, with which image caches, and who receives its progress.

Nothing here changes a result. Recipe keys and the seed do.
"""

import os
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from lesionwise.progress import SILENT, Progress

FOLDER = Path(".lesionwise")
"""Folder of caches and drawn data, below the working directory."""
PROCESSORS = Path("/proc/cpuinfo")


@dataclass(frozen=True)
class Execution:
    """How a command runs.

    Attributes:
        device: Where the network runs: "auto", "cpu", "cuda" or "mps".
        devices: Number of devices of each machine that share each batch of a training. The script is started
            again for each further one, unless torchrun or Slurm started it; of the processes only the first
            goes on after training.
        nodes: Number of machines that share each batch; they see data, cache and run folder under one path.
        workers: Number of threads that decode images; as many as usable cores if left out.
        cache_root: Folder of all image caches; `LESIONWISE_CACHE`, or `.lesionwise/cache`, if left out.
        engine: Where several runs (folds, protocols) run: "local", one after another; or "ray", as many at
            once as a cluster has machines or GPUs, which see data, cache and run folder under one path.
        progress: Receives reports of progress. Runs on other machines report nothing.
    """

    device: str = "auto"
    devices: int = 1
    nodes: int = 1
    workers: int | None = None
    cache_root: str | Path | None = None
    engine: Literal["local", "ray"] = "local"
    progress: Progress = SILENT


def default_cache_root() -> Path:
    """Return `LESIONWISE_CACHE` or a folder below the working directory: nothing lands in the home."""
    return Path(os.environ.get("LESIONWISE_CACHE", FOLDER / "cache"))


def usable_cores() -> int:
    """Return the cores that this process may run on, which in a container are fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def describe_processor(source: Path = PROCESSORS) -> str:
    """Return what Linux reports about the processor; empty on other systems."""
    return source.read_text(encoding="utf-8", errors="replace") if source.is_file() else ""


def processor_name() -> str:
    """Return the name of the processor of this machine."""
    lines = describe_processor().splitlines()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())
