import json
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lesionwise.bundle.engine import Engine
from lesionwise.errors import LesionwiseError
from lesionwise.serve import connection
from lesionwise.serve.limits import Limits
from lesionwise.serve.server import LEAST_CONNECTIONS, OWN_FILES, PASSES, fit_to_open_files
from serve.conftest import listening_service
from serve.drawn_model import picture

FORM = b'--b\r\nContent-Disposition: form-data; name="image"\r\n\r\n%b\r\n--b--\r\n'
MOST = 4


@pytest.fixture(scope="module")
def address(engine: Engine) -> Iterator[tuple[str, int]]:
    """Where a service listens that has little patience."""
    limits = Limits(head_s=0.5, receive_s=0.5, send_s=0.5, head_bytes=20_000, connections=MOST)
    with pytest.MonkeyPatch.context() as patch, listening_service(engine, limits) as url:
        patch.setattr(connection, "_AFTER_BODY_S", 0.5)
        host, _, port = url.removeprefix("http://").partition(":")
        yield host, int(port)


def said(client: socket.socket) -> bytes:
    """All that comes until the service hangs up."""
    client.settimeout(20)
    found = b""
    try:
        while chunk := client.recv(1 << 16):
            found += chunk
    except ConnectionError:
        pass  # hung up on what was still being sent
    return found


def refusal(answer: bytes) -> str:
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"application/problem+json" in head
    found = json.loads(body)
    assert str(found["status"]).encode() in head.splitlines()[0]
    return str(found["code"])


def head(path: str = "/predict", **headers: object) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: x", "Content-Type: multipart/form-data; boundary=b"]
    return "\r\n".join([*lines, *(f"{name}: {value}" for name, value in headers.items()), "", ""]).encode()


def is_well(address: tuple[str, int]) -> bool:
    try:
        with socket.create_connection(address) as client:
            client.sendall(b"GET /live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            return said(client).startswith(b"HTTP/1.1 200")
    except ConnectionError:  # it was turned away before it asked
        return False


def test_a_head_that_trickles_is_cut_off_in_time(address: tuple[str, int]) -> None:
    with socket.create_connection(address) as client:
        started = time.monotonic()
        client.sendall(b"GET / HTTP/1.1\r\n")
        client.settimeout(0.1)
        answer = b""
        while not answer and time.monotonic() - started < 15:
            client.sendall(b"X-A: 1\r\n")
            try:
                answer = client.recv(1 << 16)
            except TimeoutError:
                continue
        assert refusal(answer) == "too-slow"
    assert is_well(address)


def test_who_says_nothing_is_left_without_a_word(address: tuple[str, int]) -> None:
    with socket.create_connection(address) as client:
        assert said(client) == b""


def test_a_head_without_end_is_refused(address: tuple[str, int]) -> None:
    with socket.create_connection(address) as client:
        client.sendall(b"GET / HTTP/1.1\r\nX: " + b"a" * 30_000)
        assert refusal(said(client)) == "too-long-head"
    assert is_well(address)


def test_a_body_that_stays_away_is_answered_and_hung_up_on(address: tuple[str, int]) -> None:
    with socket.create_connection(address) as client:
        client.sendall(head(**{"Content-Length": "1000"}) + b"--b")
        answer = said(client)
    assert refusal(answer) == "too-slow"


def test_what_is_no_http_gets_a_problem_document(address: tuple[str, int]) -> None:
    with socket.create_connection(address) as client:
        client.sendall(b"\x16\x03\x01 what\r\n\r\n")
        assert refusal(said(client)) == "bad-request"


def test_an_answer_that_nobody_fetches_is_given_up(address: tuple[str, int]) -> None:
    ask, times = b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n%b\r\n", 500
    with socket.create_connection(address) as client:
        client.sendall(ask % b"Connection: close\r\n")
        one = len(said(client))
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(address)
        client.sendall(ask % b"" * times)
        time.sleep(3)
        assert 0 < len(said(client)) < times * one / 2
    assert is_well(address)


def test_connections_are_counted(address: tuple[str, int]) -> None:
    clients = [socket.create_connection(address) for _ in range(MOST)]
    try:
        with socket.create_connection(address) as client:
            answer = said(client)
        assert refusal(answer) == "busy"
        assert b"Retry-After: 1" in answer
    finally:
        for one in clients:
            one.close()
    deadline = time.monotonic() + 10
    while not is_well(address) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert is_well(address)


def test_one_connection_asks_again_and_again(address: tuple[str, int]) -> None:
    body = FORM % picture()
    with socket.create_connection(address) as client:
        client.settimeout(20)
        for _ in range(3):
            client.sendall(head(**{"Content-Length": str(len(body))}) + body[:50])
            time.sleep(0.05)
            client.sendall(body[50:])
            answer = b""
            while b'"version"' not in answer:
                answer += client.recv(1 << 16)
            assert answer.startswith(b"HTTP/1.1 200")
            time.sleep(0.7)  # longer than a head may take: between two requests nobody hurries


def test_the_head_after_a_large_body_may_come_in_pieces(address: tuple[str, int]) -> None:
    noise, content = np.random.default_rng(0).integers(0, 256, (120, 160, 3), np.uint8), BytesIO()
    Image.fromarray(noise).save(content, "PNG")
    body = FORM % content.getvalue()
    assert len(body) > 20_000  # bytes that a head may have here
    with socket.create_connection(address) as client:
        client.settimeout(20)
        client.sendall(head(**{"Content-Length": str(len(body))}) + body)
        answer = b""
        while b'"version"' not in answer:
            answer += client.recv(1 << 16)
        client.sendall(b"GET /live HTTP/1.1\r\nHost: x\r\nX-A: ")
        time.sleep(0.1)
        client.sendall(b"1\r\nConnection: close\r\n\r\n")
        assert said(client).startswith(b"HTTP/1.1 200")


def asked(address: tuple[str, int], content: bytes) -> bytes:
    with socket.create_connection(address) as client:
        client.sendall(content)
        return said(client)


@pytest.mark.parametrize(("length", "passes"), [(15_000, True), (25_000, False)])
def test_a_head_has_the_same_limit_in_one_piece(address: tuple[str, int], length: int, passes: bool) -> None:  # noqa: FBT001
    lines = b"GET /live HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX: %b\r\n\r\n"
    answer = asked(address, lines % (b"a" * length))
    if passes:
        assert answer.startswith(b"HTTP/1.1 200")
    else:
        assert refusal(answer) == "too-long-head"


@pytest.mark.parametrize("hosts", [b"", b"Host: x\r\nHost: y\r\n"])
def test_a_request_names_one_host(address: tuple[str, int], hosts: bytes) -> None:
    answer = asked(address, b"GET /live HTTP/1.1\r\n%bConnection: close\r\n\r\n" % hosts)
    assert refusal(answer) == "bad-request"


def test_http_1_0_needs_no_host(address: tuple[str, int]) -> None:
    assert b" 200 " in asked(address, b"GET /live HTTP/1.0\r\n\r\n").splitlines()[0]


def test_a_body_behind_a_refused_head_is_not_looked_at(address: tuple[str, int]) -> None:
    both = b"POST /predict HTTP/1.1\r\nContent-Length: 5\r\n\r\nhelloGET /live HTTP/1.1\r\nHost: x\r\n\r\n"
    answer = asked(address, both)
    assert refusal(answer) == "bad-request"
    assert answer.count(b"HTTP/1.1") == 1


@pytest.mark.parametrize("times", [1, 3])
def test_who_has_finished_sending_still_gets_every_answer(address: tuple[str, int], times: int) -> None:
    body = FORM % picture()
    with socket.create_connection(address) as client:
        client.sendall((head(**{"Content-Length": str(len(body))}) + body) * times)
        client.shutdown(socket.SHUT_WR)
        answer = said(client)
    assert answer.count(b"HTTP/1.1 200") == times
    assert answer.count(b'"version"') == times


def test_refusals_below_http_are_counted(address: tuple[str, int]) -> None:
    def counted(code: str) -> float:
        text = asked(address, b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").decode()
        found = re.search(rf'lesionwise_refusals_total{{problem="{code}"}} ([\d.]+)', text)
        return float(found[1]) if found else 0

    before = {code: counted(code) for code in ("bad-request", "too-long-head")}
    asked(address, b"\x16\x03\x01 what\r\n\r\n")
    asked(address, b"GET / HTTP/1.1\r\nX: " + b"a" * 30_000)
    assert {code: counted(code) - count for code, count in before.items()} == {
        "bad-request": 1,
        "too-long-head": 1,
    }


def test_the_limit_of_open_files_is_never_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    resource = pytest.importorskip("resource", reason="limits are those of Unix")
    monkeypatch.setattr(resource, "setrlimit", lambda *_: None)
    for soft in (*range(75, 300), 512, 1024, 2047, 4096):
        monkeypatch.setattr(resource, "getrlimit", lambda _, soft=soft: (soft, soft))
        limits, backlog = fit_to_open_files(Limits())
        assert LEAST_CONNECTIONS <= limits.connections <= Limits().connections
        # An event loop accepts one more than the backlog, from Python 3.12 on.
        assert OWN_FILES + limits.connections + PASSES * (backlog + 1) <= soft


@pytest.mark.skipif(sys.platform == "win32", reason="limits are those of Unix")
def test_a_low_limit_of_open_files_lowers_the_number_of_connections(
    bundle_file: Path, tmp_path: Path
) -> None:
    limited = (
        "import resource, runpy, sys; resource.setrlimit(resource.RLIMIT_NOFILE, (128, 128));"
        "sys.argv[1:] = ['serve', '--model', sys.argv[1], '--port', '0'];"
        "runpy.run_module('lesionwise', run_name='__main__')"
    )
    command = [sys.executable, "-c", limited, str(bundle_file)]
    log = tmp_path / "log"
    with log.open("w") as file:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=file, text=True)
    clients: list[socket.socket] = []
    try:
        assert process.stdout is not None
        port = re.search(r"127\.0\.0\.1:(\d+)", process.stdout.readline())
        assert port
        place = ("127.0.0.1", int(port[1]))
        for _ in range(300):  # all at once, and none waits for another
            clients.append(socket.socket())
            clients[-1].settimeout(0)
            clients[-1].connect_ex(place)
        assert comes_true(lambda: "busy" in log.read_text())
        for client in clients:
            client.close()
        assert comes_true(lambda: is_well(place))
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    assert "Traceback" not in log.read_text()


def comes_true(what: Callable[[], bool], seconds: float = 60) -> bool:
    deadline = time.monotonic() + seconds
    while not (found := what()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return found


def test_too_few_open_files_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    resource = pytest.importorskip("resource", reason="limits are those of Unix")
    monkeypatch.setattr(resource, "getrlimit", lambda _: (70, 70))
    with pytest.raises(LesionwiseError, match=r"Only 70 files may be open.*ulimit"):
        fit_to_open_files(Limits())
