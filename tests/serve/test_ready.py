"""Alive and ready: what an orchestrator asks."""

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx2
import pytest
from fastapi.testclient import TestClient

from lesionwise.bundle.engine import Engine
from lesionwise.serve.app import create_app
from lesionwise.serve.service import Service
from serve.drawn_model import DARK, picture

PROBES = ("/ready", "/health")


def test_a_service_that_answers_is_alive_and_ready(client: TestClient) -> None:
    assert client.get("/live").json() == {"status": "ok"}
    for probe in PROBES:
        assert client.get(probe).json() == {"status": "ok", "model": "drawn", "waiting": 0}


@pytest.mark.skipif(sys.platform == "win32", reason="signals are those of Unix")
def test_it_is_not_ready_while_all_decoders_are_stopped(engine: Engine) -> None:
    service = Service(engine, decoders=2)
    with TestClient(create_app(service)) as client:
        for pid in service.decoders.processes:
            os.kill(pid, signal.SIGSTOP)
        answer = client.get("/ready")
        assert (answer.status_code, answer.json()["code"]) == (503, "not-ready")
        assert "decoder" in answer.json()["detail"]
        assert answer.headers["Retry-After"]
        assert client.get("/live").status_code == 200
        deadline = time.monotonic() + 60
        while client.get("/ready").status_code != 200 and time.monotonic() < deadline:
            time.sleep(0.2)
        assert client.get("/ready").status_code == 200
        assert "lesionwise_decoder_restarts_total 2.0" in client.get("/metrics").text


@pytest.mark.parametrize("state", ["full", "closing"])
def test_it_is_not_ready_when_full_or_closing(engine: Engine, state: str) -> None:
    service = Service(engine, decoders=1)
    with TestClient(create_app(service)) as client:
        if state == "full":
            service.waiting = service.limits.waiting
        else:
            service.closing = True
        for probe in PROBES:
            assert client.get(probe).json()["code"] == "not-ready"
        service.waiting = 0
        answer = client.post("/predict", files={"image": picture()})
        assert answer.status_code == 200
        assert (answer.headers.get("connection") == "close") == (state == "closing")


def test_metrics_name_model_and_versions(client: TestClient) -> None:
    labels = re.search(r"lesionwise_model_info\{(.*)\} 1\.0", client.get("/metrics").text)
    assert labels
    assert all(f'{name}="' in labels[1] for name in ("name", "sha256", "version", "service"))


@pytest.mark.skipif(sys.platform == "win32", reason="signals are those of Unix")
def test_at_sigterm_it_stops_being_ready_first_and_loses_no_request(
    tmp_path: Path, bundle_file: Path
) -> None:
    command = [sys.executable, "-m", "lesionwise", "serve", "--model", str(bundle_file), "--port", "0"]
    process = subprocess.Popen(
        [*command, "--quiet", "--drain", "3"], cwd=tmp_path, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    address = re.search(r"http://127\.0\.0\.1:\d+", process.stdout.readline())
    assert address
    statuses, lost, done = [], [], threading.Event()

    def ask_while_ready() -> None:
        """Ask as a proxy does that looks at /ready before each request."""
        while not done.is_set():
            try:
                if httpx2.get(f"{address[0]}/ready", timeout=30).status_code != 200:
                    done.set()
                    return
                answer = httpx2.post(f"{address[0]}/predict", files={"image": picture(DARK)}, timeout=30)
                statuses.append(answer.status_code)
            except httpx2.TransportError as error:
                lost.append(error)

    clients = [threading.Thread(target=ask_while_ready) for _ in range(4)]
    for client in clients:
        client.start()
    until = time.monotonic() + 60  # on a busy machine the first answer takes more than a second
    while not statuses and time.monotonic() < until:
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    assert done.wait(30), "it was still ready after SIGTERM"
    with socket.create_connection(("127.0.0.1", int(address[0].rpartition(":")[2])), timeout=10):
        pass  # it still listens for those that do not know yet
    for client in clients:
        client.join(60)
    process.wait(30)
    process.stdout.close()
    assert not lost
    assert statuses
    assert set(statuses) == {200}
