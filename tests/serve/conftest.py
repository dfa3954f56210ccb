"""A service on a hand-made bundle."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient
from numpy.typing import NDArray

from lesionwise.bundle.engine import Engine, load_model
from lesionwise.bundle.runtimes import Arrays
from lesionwise.gallery.gallery import Gallery
from lesionwise.serve.app import create_app
from lesionwise.serve.examples import Example
from lesionwise.serve.limits import Limits
from lesionwise.serve.server import Server, address_of, configure, open_socket
from lesionwise.serve.service import Service
from serve.drawn_model import DARK, picture, write_bundle


class Slowed(Engine):
    """An engine that takes its time, remembers its batches, or fails.

    Args:
        engine: The real one.
        seconds: That each batch takes.
        failure: Raised instead of an answer.
    """

    def __init__(self, engine: Engine, *, seconds: float = 0, failure: Exception | None = None) -> None:
        vars(self).update(vars(engine))
        self._seconds = seconds
        self._failure = failure
        self.batches: list[int] = []

    def run(self, pixels: NDArray[np.uint8], metadata: NDArray[np.float32] | None = None) -> Arrays:
        self.batches.append(len(pixels))
        if len(self.batches) > 1:  # the first is the service's own
            time.sleep(self._seconds)
            if self._failure is not None:
                raise self._failure
        return super().run(pixels, metadata)


@pytest.fixture(scope="session")
def bundle_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The hand-made bundle as a file."""
    return write_bundle(tmp_path_factory.mktemp("bundle") / "drawn.onnx")


@pytest.fixture(scope="session")
def engine(bundle_file: Path) -> Engine:
    """The same, loaded."""
    return load_model(bundle_file, threads=1)


@contextmanager
def open_client(
    engine: Engine,
    *,
    token: str | None = None,
    decoders: int = 1,
    limits: Limits | None = None,
    gallery: Gallery | None = None,
) -> Iterator[TestClient]:
    """A client of a service that runs inside the block."""
    service = Service(engine, decoders=decoders, limits=limits, gallery=gallery)
    examples = (Example("a dark one", picture(DARK)),)
    with TestClient(create_app(service, examples=examples, token=token)) as client:
        yield client


@contextmanager
def listening_service(engine: Engine, limits: Limits, gallery: Gallery | None = None) -> Iterator[str]:
    """The address of a service that listens inside the block."""
    service = Service(engine, decoders=1, limits=limits, gallery=gallery)
    app = create_app(service, examples=(Example("a dark one", picture(DARK, (320, 240))),))
    listening, started = open_socket("127.0.0.1", 0), threading.Event()
    server = Server(configure(app, service), service, started.set)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    assert started.wait(60)
    try:
        yield address_of(listening).rstrip("/")
    finally:
        server.should_exit = True
        thread.join(30)


@pytest.fixture(scope="session")
def live(engine: Engine) -> Iterator[str]:
    """The address of a service that listens, for what talks over sockets."""
    with listening_service(engine, Limits()) as address:
        yield address


@pytest.fixture(scope="session")
def client(engine: Engine) -> Iterator[TestClient]:
    """A client of a running service; not to be changed."""
    with open_client(engine) as opened:
        yield opened
