"""What a run records of itself: the cost of each stage, and its versions and machine."""

import os
import platform
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from time import perf_counter
from typing import Any, Final

from lesionwise.files import read_json, write_json
from lesionwise.run_folder import RunFolder

_PACKAGES: Final = "lesionwise numpy pillow simplejpeg pandas scikit-learn torch lightning"


@contextmanager
def timed_stage(run: RunFolder, stage: str) -> Iterator[dict[str, Any]]:
    """Measure the block; add seconds, peak memory and `images` of the yielded record to `timing.json`."""
    record: dict[str, Any] = {}
    started = perf_counter()
    yield record
    seconds = perf_counter() - started
    record |= {"seconds": seconds, "peak_mb": _peak_mb()}
    record["images_per_second"] = record["images"] / seconds if record.get("images") else None
    earlier = read_json(run.timing) if run.timing.exists() else {}
    write_json(run.timing, {**earlier, stage: record})


def _peak_mb() -> float | None:
    try:
        import resource  # noqa: PLC0415 (not on Windows)
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1e6 if sys.platform == "darwin" else 1e3)  # bytes there, kilobytes elsewhere


def describe_environment() -> dict[str, Any]:
    """Return versions and machine as they matter for repeating a run."""
    return {
        "command": shlex.join(["lesionwise", *sys.argv[1:]]),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "machine": platform.machine(),
        "cpus": os.cpu_count(),
        "packages": {name: found for name in _PACKAGES.split() if (found := _version(name))},
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
