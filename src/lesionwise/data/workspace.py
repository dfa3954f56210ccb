"""Where a command works: the folder that caches and drawn data land in, and the cores it may use."""

import os
from pathlib import Path

FOLDER = Path(".lesionwise")


def default_cache_root() -> Path:
    """Return `LESIONWISE_CACHE` or a folder below the working directory: nothing lands in the home."""
    return Path(os.environ.get("LESIONWISE_CACHE", FOLDER / "cache"))


def usable_cores() -> int:
    """Return the cores that this process may run on, which in a container are fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
