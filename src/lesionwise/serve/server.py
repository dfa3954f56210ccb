"""Listening: a socket, a warning if others can reach it, and a server that ends cleanly."""

import asyncio
import ctypes
import ipaddress
import logging
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from types import FrameType
from typing import Any, Final

import uvicorn
from fastapi import FastAPI

from lesionwise.errors import LesionwiseError
from lesionwise.serve.connection import Connection
from lesionwise.serve.guard import LOG
from lesionwise.serve.limits import Limits
from lesionwise.serve.service import Service

BACKLOG: Final = 512
OWN_FILES: Final = 40
"""Open files of the service itself: decoders, model, log, and libraries with a late import."""
PASSES: Final = 3
"""Passes of the event loop for which a refused connection stays open.

In each pass, asyncio accepts as many connections as the backlog holds. In the next pass they become
transports, in the one after they are refused, and only then closed. Every pass accepts as many again.
"""
LEAST_CONNECTIONS: Final = 8
KEEP_ALIVE_S: Final = 20
GRACE_S: Final = 10
"""Time for requests that are being answered when the service is asked to stop."""
_M_ARENA_MAX: Final = -8  # malloc.h of glibc
_POOLS: Final = 2


def share_memory_pools() -> None:
    """Let all threads share two pools of memory, before any thread starts.

    glibc gives each thread its own pool, up to eight for each core, and each keeps some of the freed memory.
    Other C libraries have no such setting.
    """
    if sys.platform == "linux":
        with suppress(AttributeError):
            ctypes.CDLL(None).mallopt(_M_ARENA_MAX, _POOLS)


class Server(uvicorn.Server):
    """Reports that it listens, and gives clients time to go elsewhere before it ends.

    At SIGTERM, `/ready` fails at once, but requests are still answered, each on a connection that then
    closes. The listening socket closes after `drain_s`. Ctrl-C and a second SIGTERM end the server at once.

    Args:
        drain_s: Seconds between SIGTERM and the end of listening.
    """

    def __init__(
        self, config: uvicorn.Config, service: Service, on_start: Callable[[], None], *, drain_s: float = 0
    ) -> None:
        super().__init__(config)
        self._service = service
        self._on_start = on_start
        self._drain_s = drain_s
        self._loop: asyncio.AbstractEventLoop | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Start to end."""
        first, self._service.closing = not self._service.closing, True
        end = partial(super().handle_exit, sig, frame)
        if sig == signal.SIGTERM and first and self._drain_s and self._loop:
            self._loop.call_soon_threadsafe(self._loop.call_later, self._drain_s, end)
        else:
            end()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then report it."""
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)
        if self.started and not self.should_exit:
            self._on_start()


def open_socket(host: str, port: int) -> socket.socket:
    """Return a listening socket. `port`: 0 lets the system choose."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, kind, protocol)
        try:
            if sys.platform != "win32":  # where it would let two services share a port
                listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(address)
        except OSError:
            listening.close()
            raise
    except OSError as error:
        raise LesionwiseError(
            f"{host}:{port}: cannot listen there: {error.strerror or error}. Pass another --host or --port."
        ) from error
    return listening


def address_of(listening: socket.socket) -> str:
    """Return the address to open in a browser."""
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


def exposure_warning(listening: socket.socket, *, token: bool) -> str | None:
    """Return a warning if other machines can reach the service; None if they cannot."""
    host = str(listening.getsockname()[0])
    if ipaddress.ip_address(host.partition("%")[0]).is_loopback:
        return None
    open_to = "Everyone with the token" if token else "Everyone who can reach this machine"
    return (
        f"The service listens at {host}, not only on this machine. {open_to} can use it, and images are sent "
        f"unencrypted. Put a proxy with TLS in front of it{'' if token else ', and set LESIONWISE_TOKEN'}."
    )


def fit_to_open_files(limits: Limits) -> tuple[Limits, int]:
    """Return limits and a backlog that fit the system's limit of open files.

    The soft limit is raised as far as the system allows. The answered and the refused connections share the
    rest; refused ones stay open for some `PASSES`.

    Raises:
        LesionwiseError: If there are too few open files for any client.
    """
    try:
        import resource  # noqa: PLC0415 (not on Windows)
    except ImportError:
        return limits, BACKLOG
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = limits.connections + PASSES * (BACKLOG + 1) + OWN_FILES
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < most:
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
            soft = most
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return limits, BACKLOG
    each = (soft - OWN_FILES - PASSES) // (1 + PASSES)
    if each < LEAST_CONNECTIONS:
        least = OWN_FILES + PASSES + (1 + PASSES) * LEAST_CONNECTIONS
        raise LesionwiseError(
            f"Only {soft} files may be open, but the service needs {least}. Raise the limit (ulimit -n)."
        )
    return replace(limits, connections=each), each


def configure(app: FastAPI, service: Service) -> uvicorn.Config:
    """Return the configuration of uvicorn for the application."""
    limits, backlog = fit_to_open_files(service.limits)
    options: dict[str, Any] = {
        "http": partial(Connection, limits=limits, metrics=service.metrics),
        "log_config": None,
        "access_log": False,  # it would contain queries and addresses
        "proxy_headers": False,  # nothing here uses the origin of a request
        "server_header": False,
        "date_header": True,
        "backlog": backlog,
        "timeout_keep_alive": KEEP_ALIVE_S,
        "timeout_graceful_shutdown": GRACE_S,
        "ws": "none",
    }
    return uvicorn.Config(app, **options)


def serve(
    app: FastAPI,
    service: Service,
    listening: socket.socket,
    on_start: Callable[[], None],
    *,
    drain_s: float = 0,
    quiet: bool = False,
) -> None:
    """Answer requests until the process is asked to stop; earlier ones are still answered."""
    _write_log(logging.WARNING if quiet else logging.INFO)
    server = Server(configure(app, service), service, on_start, drain_s=drain_s)
    server.run(sockets=[listening])


def _write_log(level: int) -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
    LOG.addHandler(handler)
    LOG.setLevel(level)
    LOG.propagate = False
    logging.getLogger("python_multipart").setLevel(logging.CRITICAL)  # its warnings quote requests
