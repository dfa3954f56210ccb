"""The service under a load of which 5 % is hostile: what good pictures get, and the memory.

    python benchmarks/reliability/hostile.py IMAGES [--requests 3000] [--seconds 240] [--clients 8]

Starts `lesionwise serve` with the model that ships, asks it over loopback, and prints a table. Each good
picture is first answered alone; under load it must get the same diagnosis or the announced 503. Hostile are
damaged files and forms (those of `benchmarks/speed/serve_load.py`), JSON of countless values, a binary tensor
that lies about its length, heads that HTTP forbids, uploads that stop half-way, and decoders that are killed.
"""

import argparse
import json
import os
import random
import signal
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from itertools import count
from pathlib import Path
from urllib.request import urlopen

sys.path.insert(0, str(Path(__file__).parents[1] / "speed"))

from serve_load import BOUNDARY, form, mutations, start

HOSTILE = 0.05
GIVEN, ANNOUNCED = 200, 503
WAIT_S = 60
Answer = tuple[int, bytes]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("images", type=Path)
    parser.add_argument("--requests", type=int, default=3000)
    parser.add_argument("--seconds", type=float, default=240)
    parser.add_argument("--clients", type=int, default=8)
    given = parser.parse_args()
    contents = [path.read_bytes() for path in sorted(given.images.rglob("*.jpg"))[:64]]
    process, port = start("best")
    try:
        Load(port, process.pid, contents).run(given.requests, given.seconds, given.clients)
        print("\nthe service lives" if process.poll() is None else "\nTHE SERVICE DIED")
    finally:
        process.terminate()
        process.wait(WAIT_S)


class Load:
    """Good and hostile requests, and what became of them."""

    def __init__(self, port: int, pid: int, contents: list[bytes]) -> None:
        self._port, self._pid = port, pid
        self._spoiled = mutations(contents, 400)
        self._good = [form(content) for content in contents]
        self._expected = [top(self._ask(predict(body))[1]) for body in self._good]
        self._counts: Counter[tuple[str, str]] = Counter()

    def run(self, requests: int, seconds: float, clients: int) -> None:
        memory = [self._memory()]
        print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores before the start", flush=True)
        numbers, end, started = count(), time.monotonic() + seconds, time.monotonic()

        def client() -> None:
            while (number := next(numbers)) < requests and time.monotonic() < end:
                self._one(random.Random(number))  # noqa: S311 (no secret)
                if number % (requests // 4) == 0 and number:
                    memory.append(self._memory())

        threads = [threading.Thread(target=client) for _ in range(clients)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        memory.append(self._memory())
        self._print(time.monotonic() - started, memory)

    def _one(self, rng: random.Random) -> None:
        kind = "good picture" if rng.random() >= HOSTILE else rng.choice(sorted(self._hostile()))
        try:
            found = self._good_picture(rng) if kind == "good picture" else self._hostile()[kind](rng)
        except OSError as error:
            found = type(error).__name__
        self._counts[kind, str(found or "done")] += 1

    def _good_picture(self, rng: random.Random) -> str:
        place = rng.randrange(len(self._good))
        status, body = self._ask(predict(self._good[place]))
        right = status == ANNOUNCED or (status == GIVEN and top(body) == self._expected[place])
        return str(status) if right else f"{status}, WRONG"

    def _hostile(self) -> dict[str, Callable[[random.Random], int]]:
        return {
            "damaged file or form": lambda rng: self._ask(predict(rng.choice(self._spoiled)))[0],
            "JSON of a million values": lambda _: self._ask(infer(b'{"inputs":[' + b"[]," * 10**6 + b"0]}"))[
                0
            ],
            "binary tensor that lies": lambda rng: self._ask(infer(b"{}" + rng.randbytes(999), 2000))[0],
            "two Host headers": lambda _: self._ask(b"GET /model HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n")[0],
            "head without end": lambda _: self._ask(b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 70_000)[0],
            "upload that stops": self._stop_half_way,
            "decoder killed": self._kill_decoder,
        }

    def _ask(self, request: bytes) -> Answer:
        with socket.create_connection(("127.0.0.1", self._port), timeout=WAIT_S) as connection:
            connection.sendall(request)
            received = b""
            while b"\r\n\r\n" not in received:
                received += receive(connection)
            head, _, body = received.partition(b"\r\n\r\n")
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            while len(body) < length:
                body += receive(connection)
            return int(head.split()[1]), body

    def _stop_half_way(self, rng: random.Random) -> int:
        request = predict(rng.choice(self._good))
        with socket.create_connection(("127.0.0.1", self._port), timeout=WAIT_S) as connection:
            connection.sendall(request[: len(request) // 2])
        return 0

    def _kill_decoder(self, rng: random.Random) -> int:
        decoders = children(self._pid)
        if decoders:
            os.kill(rng.choice(decoders), signal.SIGKILL)
        return 0

    def _memory(self) -> float:
        with urlopen(f"http://127.0.0.1:{self._port}/metrics") as answer:
            lines = answer.read().decode().splitlines()
        line = next(one for one in lines if one.startswith("lesionwise_process_resident_memory_bytes "))
        return float(line.split()[1]) / 1e6

    def _print(self, seconds: float, memory: list[float]) -> None:
        total = sum(self._counts.values())
        print(f"{total:,} requests in {seconds:.0f} s\n\n| request | answer | times |\n|---|---|--:|")
        for (kind, found), times in sorted(self._counts.items()):
            print(f"| {kind} | {found} | {times:,} |")
        print(f"\nmemory without decoders, MB: {', '.join(f'{one:.0f}' for one in memory)}")


def predict(body: bytes) -> bytes:
    kind = b"multipart/form-data; boundary=" + BOUNDARY
    return post(b"/predict?heatmap=false", kind, body)


def infer(body: bytes, header_length: int | None = None) -> bytes:
    more = b"" if header_length is None else b"Inference-Header-Content-Length: %d\r\n" % header_length
    return post(b"/v2/models/best/infer", b"application/json", body, more)


def post(path: bytes, kind: bytes, body: bytes, more: bytes = b"") -> bytes:
    head = b"POST %b HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" % path + more
    return head + b"Content-Type: %b\r\nContent-Length: %d\r\n\r\n" % (kind, len(body)) + body


def top(answer: bytes) -> str | None:
    results = json.loads(answer).get("results")
    return results[0]["top"] if results else None


def receive(connection: socket.socket) -> bytes:
    found = connection.recv(1 << 18)
    if not found:
        raise ConnectionError("the service hung up")
    return found


def children(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for task in tasks for child in task.read_text().split()]


if __name__ == "__main__":
    main()
