"""The service under load, with friendly and with hostile requests: speed, failures, memory.

    python benchmarks/speed/serve_load.py --model model.onnx --images DIR [--requests 10000] [--clients 8]

Starts `lesionwise serve` on a free port, asks it over loopback with plain sockets, and prints a table. The
pipeline without HTTP (read, network, decide; no heatmap) runs on the same bytes beforehand, for the ratio.
"""

import argparse
import io
import os
import random
import re
import socket
import struct
import subprocess
import sys
import threading
import time
import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from hashlib import sha256
from itertools import count
from pathlib import Path

import numpy as np
from PIL import Image

from lesionwise import load_model
from lesionwise.bundle.engine import BATCH

POISON = 0.05
HALF = 0.5
MUTATIONS = 2500
STARTS = 5
BOUNDARY = b"lesionwise-load"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--clients", type=int, default=8)
    given = parser.parse_args()
    contents = [path.read_bytes() for path in sorted(given.images.rglob("*.jpg"))[:64]]
    friendly = [form(content) for content in contents]
    hostile = mutations(contents, MUTATIONS)
    print(f"{len(contents)} images, {len(hostile)} distinct mutations")
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores before the start\n")

    alone = pipeline_speed(given.model, contents)
    print(f"pipeline in one process, batches of {BATCH}: {alone:.0f} images/s")
    starts = ", ".join(f"{cold_start(given.model, friendly[0]):.2f}" for _ in range(STARTS))
    print(f"cold start to first answer: {starts} s\n")
    process, port = start(given.model)
    Client(port).ask(friendly[0])
    print("| requests | clients | images/s | p50 ms | p99 ms | answers | memory before, after (MB) |")
    print("|---|---|---|---|---|---|---|")
    try:
        race(process.pid, port, friendly, 300, 1, "")
        race(process.pid, port, friendly, given.requests, given.clients, "")
        rng = random.Random(0)  # noqa: S311 (no secret)
        unused = list(hostile)

        def draw() -> bytes:
            if rng.random() >= POISON:
                return rng.choice(friendly)
            return unused.pop() if unused else rng.choice(hostile)

        mixed = [draw() for _ in range(given.requests)]
        race(process.pid, port, mixed, given.requests, given.clients, " with 5 % poison")
        race(process.pid, port, hostile, len(hostile), given.clients, " of poison alone")
        race(process.pid, port, friendly, 300, 1, " afterwards")
        print("\nthe service lives" if process.poll() is None else "\nTHE SERVICE DIED")
    finally:
        process.terminate()
        process.wait(30)


def form(content: bytes, name: bytes = b"x.jpg") -> bytes:
    head = b'--%b\r\nContent-Disposition: form-data; name="image"; filename="%b"\r\n\r\n' % (BOUNDARY, name)
    return head + content + b"\r\n--%b--\r\n" % BOUNDARY


def pipeline_speed(model: Path, contents: Sequence[bytes]) -> float:
    engine = load_model(model)
    batch = [contents[number % len(contents)] for number in range(256)]
    engine.predict(batch[:32])
    started = time.perf_counter()
    _ = engine.predict(batch).decisions
    return len(batch) / (time.perf_counter() - started)


def start(model: Path | str, *further: str) -> tuple["subprocess.Popen[str]", int]:
    command = [sys.executable, "-m", "lesionwise", "serve", "--model", str(model), "--port", "0", "--quiet"]
    process = subprocess.Popen([*command, *further], stdout=subprocess.PIPE, text=True)
    said = process.stdout.readline() if process.stdout else ""
    found = re.search(r":(\d+)/", said)
    if found is None:
        sys.exit(f"the service did not start: {said}")
    return process, int(found[1])


def cold_start(model: Path, body: bytes) -> float:
    """Return the seconds from starting the service to its first answer."""
    started = time.perf_counter()
    process, port = start(model)
    Client(port).ask(body)
    taken = time.perf_counter() - started
    process.terminate()
    process.wait()
    return taken


class Client:
    """A client that costs next to nothing, so that the cores it shares with the service are the service's."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._connect()

    def _connect(self) -> None:
        self._socket = socket.create_connection(("127.0.0.1", self._port), timeout=60)

    def ask(self, body: bytes, path: str = "/predict") -> int:
        head = (
            f"Content-Type: multipart/form-data; boundary={BOUNDARY.decode()}\r\nContent-Length: {len(body)}"
        )
        self._socket.sendall(f"POST {path} HTTP/1.1\r\nHost: x\r\n{head}\r\n\r\n".encode() + body)
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += self._received()
        head, _, rest = answer.partition(b"\r\n\r\n")
        missing = int(re.search(rb"content-length: (\d+)", head.lower())[1]) - len(rest)
        while missing > 0:
            missing -= len(self._received())
        if b"connection: close" in head.lower():
            self._connect()
        return int(head.split()[1])

    def _received(self) -> bytes:
        found = self._socket.recv(1 << 18)
        if not found:
            raise ConnectionError("the service hung up")
        return found


def race(pid: int, port: int, bodies: Sequence[bytes], requests: int, clients: int, what: str) -> None:
    before, numbers = resident_mb(pid), count()
    took: list[float] = []
    statuses: Counter[int | str] = Counter()

    def client() -> None:
        connection = Client(port)
        while (number := next(numbers)) < requests:
            begun = time.perf_counter()
            try:
                statuses[connection.ask(bodies[number % len(bodies)])] += 1
            except OSError as error:
                statuses[type(error).__name__] += 1
                connection = Client(port)
            took.append(time.perf_counter() - begun)

    threads = [threading.Thread(target=client) for _ in range(clients)]
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    speed = requests / (time.perf_counter() - started)
    middle, late = 1000 * np.percentile(took, [50, 99])
    said = ", ".join(f"{status}: {number:,}" for status, number in sorted(statuses.items(), key=str))
    print(
        f"| {requests:,}{what} | {clients} | {speed:.0f} | {middle:.1f} | {late:.1f} | {said} | "
        f"{before:.0f}, {resident_mb(pid):.0f} |",
        flush=True,
    )


def resident_mb(pid: int) -> float:
    """Return the resident memory of a process and its children; pages that they share count each time."""
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    children = [int(child) for task in tasks for child in task.read_text().split()]
    own = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    return (int(own[1]) if own else 0) / 1e3 + sum(resident_mb(child) for child in children)


def mutations(contents: Sequence[bytes], number: int) -> list[bytes]:
    """Return distinct hostile requests, the same each time."""
    rng = random.Random(1)  # noqa: S311 (no secret)
    bases = [convert(content, form) for content in contents[:4] for form in ("PNG", "WEBP", "TIFF", "BMP")]
    bases += [convert(content, "JPEG", progressive=True) for content in contents[:4]]
    bases += list(contents[:16])
    found: dict[str, bytes] = {}
    while len(found) < number:
        body = rng.choice(SPOILERS)(rng, rng.choice(bases))
        found[sha256(body).hexdigest()] = body
    return list(found.values())


def convert(content: bytes, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    Image.open(io.BytesIO(content)).resize((300, 225)).save(file, kind, **options)
    return file.getvalue()


def _flip(rng: random.Random, content: bytes) -> bytes:
    spoiled = bytearray(content)
    for _ in range(rng.randint(1, 60)):
        spoiled[rng.randrange(len(spoiled))] = rng.randrange(256)
    return form(bytes(spoiled))


def _flip_head(rng: random.Random, content: bytes) -> bytes:
    spoiled = bytearray(content)
    for _ in range(rng.randint(1, 20)):
        spoiled[rng.randrange(2, min(800, len(spoiled)))] = rng.randrange(256)
    return form(bytes(spoiled))


def _cut(rng: random.Random, content: bytes) -> bytes:
    return form(content[: rng.randrange(len(content))])


def _repeat(rng: random.Random, content: bytes) -> bytes:
    place, length = rng.randrange(len(content)), rng.randrange(4000)
    return form(content[:place] + content[place : place + length] * rng.randint(2, 30) + content[place:])


def _huge(rng: random.Random, _: bytes) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    sides = [rng.choice((1, 2, 7, 60_000, rng.randrange(2**31), rng.randrange(9000))) for _ in range(2)]
    head = struct.pack(
        ">IIBBBBB", *sides, rng.choice((1, 8, 16)), rng.choice((0, 2, 3, 6)), 0, 0, rng.randint(0, 1)
    )
    data = zlib.compress(bytes(rng.randrange(200_000)))
    return form(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b""))


def _polyglot(rng: random.Random, content: bytes) -> bytes:
    tail = rng.choice(
        (b"PK\x05\x06" + bytes(18), b"<script>1</script>", b"<?php 1 ?>", b"%PDF-1.7", b"GIF89a")
    )
    return form(content + rng.randbytes(rng.randrange(50)) + tail)


def _markers(rng: random.Random, _: bytes) -> bytes:
    segment = b"\xff\xe1\x00\x08Exif\x00\x00" if rng.random() < HALF else b"\xff\xfe\x00\x03x"
    return form(b"\xff\xd8" + segment * rng.randrange(1, 30_000) + b"\xff\xd9")


def _noise(rng: random.Random, content: bytes) -> bytes:
    return form(content[: rng.choice((0, 4, 12, 60))] + rng.randbytes(rng.randrange(20_000)))


def _name(rng: random.Random, content: bytes) -> bytes:
    name = rng.choice((b"../" * rng.randint(1, 9), b"a\\\\b", b"a\x00b", b"%2f%2e", b"..", rng.randbytes(12)))
    return form(content, name + str(rng.randrange(10**6)).encode())


def _broken_form(rng: random.Random, content: bytes) -> bytes:
    body = bytearray(form(content))
    for _ in range(rng.randint(1, 9)):
        body[rng.randrange(110)] = rng.randrange(256)
    return bytes(body[: rng.randrange(len(body))] if rng.random() < HALF else body)


def _many(rng: random.Random, content: bytes) -> bytes:
    head = b'--%b\r\nContent-Disposition: form-data; name="image"; filename="%d"\r\n\r\n'
    parts = [
        head % (BOUNDARY, rng.randrange(99)) + content[:200] + b"\r\n" for _ in range(rng.randint(33, 90))
    ]
    return b"".join(parts) + b"--%b--\r\n" % BOUNDARY


SPOILERS: list[Callable[[random.Random, bytes], bytes]] = [
    _flip,
    _flip_head,
    _cut,
    _repeat,
    _huge,
    _polyglot,
    _markers,
    _noise,
    _name,
    _broken_form,
    _many,
]

if __name__ == "__main__":
    main()
