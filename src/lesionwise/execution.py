"""How a command runs: on which hardware, with which image caches, and who receives its progress.

Nothing here changes a result; what does is a recipe key, or the seed.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from lesionwise.progress import SILENT, Progress


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
