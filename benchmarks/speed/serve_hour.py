"""An hour of the service at low load: memory, open files, threads, and whether answers stay the same.

python benchmarks/speed/serve_hour.py DIR [MINUTES]

Asks about one of the first eight images of the folder every two seconds, with heatmap. Linux only.
"""

import http.client
import re
import sys
import time
from hashlib import sha256
from pathlib import Path

from serve_load import BOUNDARY, form, start
from serve_memory import megabytes

PAUSE = 2
ROWS = 6


def main() -> None:
    bodies = [form(path.read_bytes()) for path in sorted(Path(sys.argv[1]).rglob("*.jpg"))[:8]]
    seconds = 60 * float(sys.argv[2] if len(sys.argv) > 2 else 60)  # noqa: PLR2004
    process, port = start(Path("best"))
    answers: dict[int, set[str]] = {}
    slowest, asked = 0.0, 0
    print(
        "| minutes | requests | in all, MB | service, MB | open files | threads | processor s | slowest ms |"
    )
    print("|---|---|---|---|---|---|---|---|", flush=True)
    try:
        started = time.monotonic()
        shown = 0.0
        while (passed := time.monotonic() - started) < seconds:
            begun = time.perf_counter()
            answers.setdefault(asked % len(bodies), set()).add(ask(port, bodies[asked % len(bodies)]))
            slowest = max(slowest, time.perf_counter() - begun)
            asked += 1
            if passed >= shown:
                show(process.pid, passed, asked, slowest)
                shown, slowest = shown + seconds / ROWS, 0.0
            time.sleep(max(0.0, PAUSE - (time.perf_counter() - begun)))
        show(process.pid, time.monotonic() - started, asked, slowest)
    finally:
        process.terminate()
        process.wait(60)
    print(
        f"\n{asked} requests about {len(bodies)} images: {sum(map(len, answers.values()))} different answers"
    )


def ask(port: int, body: bytes) -> str:
    """Return a checksum of the whole answer except for its time; each request has a connection of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    headers = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY.decode()}"}
    connection.request("POST", "/predict", body, headers)
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    if answer.status != 200:  # noqa: PLR2004 (HTTP)
        print(f"answered with {answer.status}: {content[:200]!r}", flush=True)
    return sha256(re.sub(rb'"elapsed_ms":\s*[0-9.]+', b"", content)).hexdigest()


def show(pid: int, passed: float, asked: int, slowest: float) -> None:
    children = [task.read_text().split() for task in Path(f"/proc/{pid}/task").glob("*/children")]
    processes = [pid, *(int(child) for each in children for child in each)]
    memory = sum(megabytes(process, "smaps_rollup", "Pss") for process in processes)
    files = sum(len(list(Path(f"/proc/{process}/fd").iterdir())) for process in processes)
    threads = sum(len(list(Path(f"/proc/{process}/task").iterdir())) for process in processes)
    ticks = [Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split() for process in processes]
    seconds = sum(int(each[11]) + int(each[12]) for each in ticks) / 100
    cells = [f"{passed / 60:.0f}", asked, f"{memory:.0f}", f"{megabytes(pid, 'status', 'VmRSS'):.0f}"]
    cells += [files, threads, f"{seconds:.1f}", f"{1000 * slowest:.0f}"]
    print("| " + " | ".join(map(str, cells)) + " |", flush=True)


if __name__ == "__main__":
    main()
