import json
import socket
import time
from collections.abc import Iterator
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from lesionwise.bundle.engine import Engine
from lesionwise.serve import connection
from lesionwise.serve.limits import Limits
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
    return str(found["type"]).removeprefix("/docs#")


def head(path: str = "/predict", **headers: object) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: x", "Content-Type: multipart/form-data; boundary=b"]
    return "\r\n".join([*lines, *(f"{name}: {value}" for name, value in headers.items()), "", ""]).encode()


def is_well(address: tuple[str, int]) -> bool:
    with socket.create_connection(address) as client:
        client.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        return said(client).startswith(b"HTTP/1.1 200")


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
        client.sendall(head(**{"Content-Length": 1000}) + b"--b")
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
            client.sendall(head(**{"Content-Length": len(body)}) + body[:50])
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
        client.sendall(head(**{"Content-Length": len(body)}) + body)
        answer = b""
        while b'"version"' not in answer:
            answer += client.recv(1 << 16)
        client.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\nX-A: ")
        time.sleep(0.1)
        client.sendall(b"1\r\nConnection: close\r\n\r\n")
        assert said(client).startswith(b"HTTP/1.1 200")
