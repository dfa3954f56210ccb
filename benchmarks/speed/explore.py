"""Time and memory of `lesionwise data explore` on a folder whose image cache exists.

    python benchmarks/speed/explore.py DIR

The first run fills the cache; the second is measured. Beside the wall clock stand the seconds of CPU, which
other work on the machine changes little, and the load that there was.
"""

import os
import resource
import subprocess
import sys
import tempfile
import time


def explore(folder: str, out: str) -> tuple[float, float]:
    """Return seconds by the wall clock and of CPU."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "lesionwise", "data", "explore", folder, "--out", out, "--quiet"], check=True
    )
    after, wall = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter() - start
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return wall, cpu


def main(arguments: list[str]) -> None:
    with tempfile.TemporaryDirectory() as out:
        if "--warm" not in arguments:
            explore(arguments[0], out)
        wall, cpu = explore(arguments[0], out)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(
        f"wall {wall:.1f} s, CPU {cpu:.1f} s, peak {peak:.0f} MB; "
        f"load {os.getloadavg()[0]:.1f}, {os.cpu_count()} cores"
    )


if __name__ == "__main__":
    main(sys.argv[1:])
