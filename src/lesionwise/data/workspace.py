"""Where a command works: the folder of caches and drawn data, the usable cores, and the processor."""

import os
import platform
from pathlib import Path

FOLDER = Path(".lesionwise")
PROCESSORS = Path("/proc/cpuinfo")


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
