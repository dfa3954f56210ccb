"""The service under a load of which 5 % is hostile: what good pictures get, and the memory.

    python benchmarks/reliability/hostile.py [IMAGES] [--model best] [--requests 3000] [--seconds 240]
                                             [--clients 8] [--every 1000] [--width 0]

Starts `lesionwise serve` and asks it over loopback. Without IMAGES it draws images and trains a tiny model
on them first, and --model is not used. Each good picture is answered alone first; under load it must get the
same diagnosis and probability or the announced 503. Hostile are damaged files and forms (those of
`benchmarks/speed/serve_load.py`), JSON of countless values, a binary tensor that lies about its length, heads
that HTTP forbids, uploads that stop half-way, and decoders that are killed. What request number N is depends
on N alone. Ctrl-C, SIGTERM and --seconds end the load early; the counts so far are printed. The exit code is
1 if a good picture got a wrong answer, if a 5xx was no announced 503, or if the service died.
"""

import argparse
import json
import os
import random
import re
import signal
import socket
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from io import BytesIO
from itertools import count
from pathlib import Path
from typing import NamedTuple
from urllib.request import urlopen

from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1] / "speed"))
sys.path.insert(0, str(Path(__file__).parent))

from faults import draw_and_train
from serve_load import BOUNDARY, form, mutations, start

HOSTILE = 0.05
PICTURES = 64
GIVEN, ANNOUNCED, FAILED = 200, 503, 500
WAIT_S = 120
COUNTLESS = b'{"inputs":[' + b"[]," * 10**6 + b"0]}"


class Answer(NamedTuple):
    """An answer of the service."""

    status: int
    body: bytes
    announced: bool

    @property
    def is_fault(self) -> bool:
        """Whether it is a 5xx, and not the 503 that says when to come again."""
        return self.status >= FAILED and not self.announced


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("images", type=Path, nargs="?")
    parser.add_argument("--model", default="best")
    parser.add_argument("--requests", type=int, default=3000)
    parser.add_argument("--seconds", type=float, default=240)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--every", type=int, default=1000, help="requests between two lines of memory")
    parser.add_argument("--width", type=int, default=0, help="make pictures this wide; 0 leaves them")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="hostile-") as work:
        images, model = given.images, given.model
        if images is None:
            images, model = Path(work) / "data", Path(work) / "model.onnx"
            draw_and_train(images, Path(work) / "run", model)
        contents = [read(path, given.width) for path in sorted(images.rglob("*.jpg"))[:PICTURES]]
        process, port = start(model)
        try:
            load = Load(port, process.pid, contents)
            load.run(given.requests, given.seconds, given.clients, given.every)
            alive = process.poll() is None
            print("\nthe service lives" if alive else "\nTHE SERVICE DIED", flush=True)
        finally:
            process.terminate()
            process.wait(WAIT_S)
    sys.exit(0 if alive and not load.faults else 1)


def read(path: Path, width: int) -> bytes:
    """Return a picture as it is, or as a JPEG of a width."""
    if not width:
        return path.read_bytes()
    image, buffer = Image.open(path), BytesIO()
    image.resize((width, round(image.height * width / image.width))).save(buffer, "JPEG", quality=95)
    return buffer.getvalue()


class Load:
    """Good and hostile requests, and what became of them."""

    def __init__(self, port: int, pid: int, contents: list[bytes]) -> None:
        self._port, self._pid = port, pid
        self._spoiled = mutations(contents, 400)
        self._good = [predict(form(content), close=False) for content in contents]
        self._own = threading.local()
        with urlopen(f"http://127.0.0.1:{port}/model") as answer:
            self._model = str(json.load(answer)["name"]).encode()
        self._expected = [verdict(self._ask_again(request).body) for request in self._good]
        self._counts: Counter[tuple[str, str]] = Counter()
        self._ended = threading.Event()
        self.faults = 0
        tops = Counter(top for top, _ in self._expected)
        print(f"{len(contents)} pictures get {dict(tops)} when asked about alone", flush=True)

    def run(self, requests: int, seconds: float, clients: int, every: int) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: self._ended.set())
        print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores before the start\n")
        print("| requests | seconds | service, MB | with decoders, MB | 503 | faults |")
        print("|--:|--:|--:|--:|--:|--:|")
        numbers, started = count(), time.monotonic()
        self._line(0, 0)

        def client() -> None:
            while not self._ended.is_set() and (number := next(numbers)) < requests:
                self._one(random.Random(number))  # noqa: S311 (no secret)
                if (number + 1) % every == 0:
                    self._line(number + 1, time.monotonic() - started)

        threads = [threading.Thread(target=client) for _ in range(clients)]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            if time.monotonic() - started > seconds:
                self._ended.set()
            time.sleep(0.5)
        total, taken = sum(self._counts.values()), time.monotonic() - started
        self._line(total, taken)
        print(f"\n{total:,} requests in {taken:.0f} s\n\n| request | answer | times |\n|---|---|--:|")
        for (kind, found), times in sorted(self._counts.items()):
            print(f"| {kind} | {found} | {times:,} |")

    def _one(self, rng: random.Random) -> None:
        hostile = self._hostile()
        kind = "good picture" if rng.random() >= HOSTILE else rng.choice(sorted(hostile))
        try:
            found = self._good_picture(rng) if kind == "good picture" else self._name(hostile[kind](rng))
        except OSError as error:
            found = type(error).__name__ + (", WRONG" if kind == "good picture" else "")
        self.faults += found.endswith("WRONG")
        self._counts[kind, found] += 1

    def _name(self, answer: Answer | None) -> str:
        if answer is None:
            return "done"
        return f"{answer.status}, WRONG" if answer.is_fault else str(answer.status)

    def _good_picture(self, rng: random.Random) -> str:
        place = rng.randrange(len(self._good))
        answer = self._ask_again(self._good[place])
        right = answer.announced or (answer.status == GIVEN and verdict(answer.body) == self._expected[place])
        return str(answer.status) if right else f"{answer.status}, WRONG"

    def _hostile(self) -> dict[str, Callable[[random.Random], Answer | None]]:
        return {
            "damaged file or form": lambda rng: self._ask(predict(rng.choice(self._spoiled))),
            "JSON of a million values": lambda _: self._ask(self._infer(COUNTLESS)),
            "binary tensor that lies": lambda rng: self._ask(self._infer(b"{}" + rng.randbytes(999), 2000)),
            "two Host headers": lambda _: self._ask(b"GET /model HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"),
            "head without end": lambda _: self._ask(b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 70_000),
            "upload that stops": self._stop_half_way,
            "decoder killed": self._kill_decoder,
        }

    def _infer(self, body: bytes, header_length: int | None = None) -> bytes:
        more = b"" if header_length is None else b"Inference-Header-Content-Length: %d\r\n" % header_length
        path = b"/v2/models/%b/infer" % self._model
        return post(path, b"application/json", body, b"Connection: close\r\n" + more)

    def _connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self._port), timeout=WAIT_S)

    def _ask(self, request: bytes) -> Answer:
        """Ask on a connection of its own."""
        with self._connect() as connection:
            return exchange(connection, request)

    def _ask_again(self, request: bytes) -> Answer:
        """Ask on the connection that this client keeps; where it was closed in between, on a new one."""
        kept: socket.socket | None = getattr(self._own, "connection", None)
        if kept:
            try:
                return exchange(kept, request)
            except ConnectionError:
                kept.close()
        self._own.connection = self._connect()
        return exchange(self._own.connection, request)

    def _stop_half_way(self, rng: random.Random) -> None:
        request = rng.choice(self._good)
        with self._connect() as connection:
            connection.sendall(request[: len(request) // 2])

    def _kill_decoder(self, rng: random.Random) -> None:
        decoders = children(self._pid)
        if decoders:
            os.kill(rng.choice(decoders), signal.SIGKILL)

    def _line(self, requests: int, seconds: float) -> None:
        with urlopen(f"http://127.0.0.1:{self._port}/metrics") as answer:
            found = re.search(r"(?m)^lesionwise_process_resident_memory_bytes (\S+)", answer.read().decode())
        own = float(found[1]) / 1e6 if found else 0
        whole = sum(map(proportional_mb, [self._pid, *children(self._pid)]))
        busy = sum(times for (_, found), times in self._counts.items() if found == str(ANNOUNCED))
        row = f"{requests:,} | {seconds:.0f} | {own:.0f} | {whole:.0f} | {busy} | {self.faults}"
        print(f"| {row} |", flush=True)


def exchange(connection: socket.socket, request: bytes) -> Answer:
    """Send a request and return the answer."""
    connection.sendall(request)
    received = b""
    while b"\r\n\r\n" not in received:
        received += receive(connection)
    head, _, body = received.partition(b"\r\n\r\n")
    head = head.lower()
    length = int(head.split(b"content-length: ")[1].split(b"\r\n")[0])
    while len(body) < length:
        body += receive(connection)
    status = int(head.split()[1])
    return Answer(status, body, status == ANNOUNCED and b"\r\nretry-after: " in head)


def predict(body: bytes, *, close: bool = True) -> bytes:
    kind = b"multipart/form-data; boundary=" + BOUNDARY
    return post(b"/predict?heatmap=false", kind, body, b"Connection: close\r\n" if close else b"")


def post(path: bytes, kind: bytes, body: bytes, more: bytes) -> bytes:
    head = b"POST %b HTTP/1.1\r\nHost: x\r\n" % path + more
    return head + b"Content-Type: %b\r\nContent-Length: %d\r\n\r\n" % (kind, len(body)) + body


def verdict(answer: bytes) -> tuple[str, float]:
    """Return the likeliest diagnosis and the probability of a malignant one, which tell pictures apart."""
    found = json.loads(answer)["results"][0]
    return found["top"], round(found["malignant_probability"], 3)


def receive(connection: socket.socket) -> bytes:
    found = connection.recv(1 << 18)
    if not found:
        raise ConnectionError("the service hung up")
    return found


def children(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for task in tasks for child in task.read_text().split()]


def proportional_mb(pid: int) -> float:
    """Return the memory of a process; pages that it shares count in part. Nothing for one that ended."""
    try:
        found = re.search(r"Pss:\s+(\d+)", Path(f"/proc/{pid}/smaps_rollup").read_text())
    except OSError:
        return 0
    return int(found[1]) / 1e3 if found else 0


if __name__ == "__main__":
    main()
