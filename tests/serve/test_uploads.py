"""Bytes in memory: what arrived is counted, and the slow go first."""

import asyncio
import socket
import time
from unittest.mock import create_autospec

import httpx2
import pytest

from lesionwise.bundle.engine import Engine
from lesionwise.serve.limits import Limits
from lesionwise.serve.problems import Problem
from lesionwise.serve.uploads import Budget
from serve.conftest import listening_service
from serve.drawn_model import picture

HEAD = (
    b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=b\r\n"
    b"Content-Length: %d\r\n\r\n"
)


def place(address: str) -> tuple[str, int]:
    host, _, port = address.removeprefix("http://").partition(":")
    return host, int(port)


def test_announced_bytes_keep_nobody_out(live: str) -> None:
    silent = [socket.create_connection(place(live)) for _ in range(3)]
    try:
        for one in silent:
            one.sendall(HEAD % (60 << 20))
        time.sleep(0.2)
        answer = httpx2.post(f"{live}/predict", files={"image": picture()}, timeout=30)
        assert answer.status_code == 200, answer.text
    finally:
        for one in silent:
            one.close()


def test_when_memory_runs_out_the_slowest_request_goes(engine: Engine) -> None:
    with listening_service(engine, Limits(held_bytes=300_000)) as address:
        with socket.create_connection(place(address)) as slow:
            slow.sendall(HEAD % 10_000_000 + b"--b\r\n\r\n" + bytes(200_000))
            time.sleep(4)  # its speed is 50 KB/s now
            large = picture(size=(300, 300), form="BMP")
            assert len(large) > 250_000
            answer = httpx2.post(f"{address}/predict", files={"image": large}, timeout=30)
            assert answer.status_code == 200, answer.text
            slow.settimeout(10)
            turned_away = slow.recv(4096)
        assert turned_away.startswith(b"HTTP/1.1 503")
        assert b"retry-after" in turned_away.lower()


def test_requests_that_are_being_answered_are_not_turned_away() -> None:
    async def act() -> None:
        budget = Budget(100)
        with budget.hold() as here:
            here.add(90)
            with budget.hold() as late, pytest.raises(Problem, match="Other requests hold"):
                late.add(20)
        assert budget.held == 0

    asyncio.run(act())


def test_a_request_that_has_only_begun_is_not_the_slowest() -> None:
    async def act() -> None:
        budget = Budget(100)
        with budget.hold() as slow, budget.hold() as fast:
            slow.clock = fast.clock = create_autospec(asyncio.Timeout)
            slow.add(60)
            await asyncio.sleep(0.2)
            fast.add(1)
            await asyncio.sleep(0.05)
            fast.add(60)
            assert (slow.turned_away, fast.turned_away, budget.held) == (True, False, 61)

    asyncio.run(act())
