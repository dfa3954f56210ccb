"""The memory of the service and its decoders, with one client and with eight.

python benchmarks/speed/serve_memory.py DIR

Asks about the first 32 images of the folder, and about a large one in every twelfth request. Linux only.
"""

import io
import re
import sys
import threading
from itertools import count
from pathlib import Path

from PIL import Image
from serve_load import Client, form, start

FEW, MANY = 60, 240
LARGE = (3000, 2250)


def main() -> None:
    contents = [path.read_bytes() for path in sorted(Path(sys.argv[1]).rglob("*.jpg"))[:32]]
    large = io.BytesIO()
    Image.open(io.BytesIO(contents[0])).resize(LARGE).save(large, "JPEG", quality=90)
    bodies = [form(content) for content in [*contents, *3 * [large.getvalue()]]]
    process, port = start(Path("best"))
    try:
        race(port, bodies, 1, 1)
        show(process.pid, "the first answer")
        for requests, clients in ((FEW, 1), (MANY, 8), (MANY, 8), (FEW, 1)):
            race(port, bodies, requests, clients)
            show(process.pid, f"{requests} requests, {clients} client(s)")
    finally:
        process.terminate()
        process.wait(60)


def race(port: int, bodies: list[bytes], requests: int, clients: int) -> None:
    numbers = count()

    def ask() -> None:
        client = Client(port)
        while (number := next(numbers)) < requests:
            status = client.ask(bodies[number % len(bodies)])
            if status != 200:  # noqa: PLR2004 (HTTP)
                print(f"answered with {status}")

    threads = [threading.Thread(target=ask) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def show(pid: int, after: str) -> None:
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    decoders = [int(child) for task in tasks for child in task.read_text().split()]
    total = sum(megabytes(process, "smaps_rollup", "Pss") for process in (pid, *decoders))
    each = ", ".join(f"{megabytes(decoder, 'status', 'VmRSS'):.0f}" for decoder in decoders)
    print(f"| {after} | {total:.0f} | {megabytes(pid, 'status', 'VmRSS'):.0f} | {each} |", flush=True)


def megabytes(pid: int, file: str, field: str) -> float:
    found = re.search(rf"^{field}:\s+(\d+)", Path(f"/proc/{pid}/{file}").read_text(), re.MULTILINE)
    return int(found[1]) / 1e3 if found else 0


if __name__ == "__main__":
    main()
