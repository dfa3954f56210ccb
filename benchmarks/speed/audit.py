"""How long the audit takes with a warm image cache, beside that of an earlier version, in one run.

    python benchmarks/speed/audit.py DATA EARLIER [ROUNDS]

EARLIER is the folder `src` of another checkout. Both audit the same folder in turn, each in a process of its
own, and both find the same. Audit the folder once before: the cache must be there (`LESIONWISE_CACHE`).
"""

import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any


def audit(data: Path, source: Path) -> tuple[dict[str, Any], float, float]:
    """Return what an audit finds, its wall time and its processor time, in seconds."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "lesionwise",
            "data",
            "audit",
            data,
            "--json",
            "--quiet",
            "--fail-on",
            "never",
        ],
        env={**os.environ, "PYTHONPATH": str(source)},
        stdout=subprocess.PIPE,
        check=True,
    )
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    return json.loads(done.stdout), wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    data, earlier = Path(sys.argv[1]), Path(sys.argv[2])
    rounds = int(sys.argv[3]) if sys.argv[3:] else 2
    sources = {"earlier": earlier, "now": Path(__file__).resolve().parents[2] / "src"}
    expected: list[Any] = []
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in sources}
    for _ in range(rounds):
        for name, source in sources.items():
            found, *seconds = audit(data, source)
            times[name].append((seconds[0], seconds[1]))
            expected = expected or found["findings"]
            same = found["findings"] == expected
            print(
                f"{name:8} wall {seconds[0]:6.1f} s  processor {seconds[1]:6.1f} s  same findings: {same}",
                flush=True,
            )
    for place, what in enumerate(("wall", "processor")):
        least = {name: min(run[place] for run in runs) for name, runs in times.items()}
        print(
            f"{what}: {least['now']:.1f} s, {least['now'] / least['earlier']:.2f} of {least['earlier']:.1f} s"
        )


if __name__ == "__main__":
    main()
