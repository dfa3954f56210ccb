"""One connection: limits for clients that are slow or send too much, below HTTP.

A request that never ends does not reach the application, so this module limits slow and endless heads, slow
bodies, answers that nobody fetches, and the number of connections. It also does what HTTP requires and the
parser does not: it checks for one Host header, and answers a client that has finished sending. Not here:
limits on the content of a request (`uploads`).
"""

import asyncio
import json
from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from lesionwise.serve.guard import LOG
from lesionwise.serve.limits import Limits
from lesionwise.serve.metrics import Metrics
from lesionwise.serve.problems import MEDIA_TYPE, Problem
from lesionwise.wording import counted

_AFTER_BODY_S: Final = 10.0  # after the application's own limit, which gives a better answer


class Connection(HttpToolsProtocol):
    """A connection with time limits."""

    def __init__(self, *, limits: Limits, metrics: Metrics, **options: Any) -> None:  # noqa: ANN401 (uvicorn's own)
        super().__init__(**options)
        self._limits = limits
        self._metrics = metrics
        self._refused = False
        self._head_bytes = 0
        self._in_head = True
        self._arriving: asyncio.TimerHandle | None = None
        self._leaving: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as in uvicorn
        """Start to wait for a request, unless too many connections are open."""
        super().connection_made(transport)
        most = self._limits.connections
        if len(self.connections) > most:
            self._refuse(Problem("busy", f"{counted(most, 'connection is', 'connections are')} open."))
        else:
            self._expect(self._limits.head_s, self._end_head)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop all clocks."""
        self._expect(None)
        self.resume_writing()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Pass bytes on; those of a head only up to its limit."""
        while data and not self._refused:
            piece = len(data)
            if self._in_head:
                piece = self._limits.head_bytes - self._head_bytes
                if not piece:
                    limit = self._limits.head_bytes
                    self._refuse(Problem("too-long-head", f"At most {limit:,} bytes are read."))
                    return
                self._head_bytes += min(piece, len(data))
            super().data_received(data[:piece])
            data = data[piece:]

    def eof_received(self) -> bool | None:  # type: ignore[override] # as asyncio has it
        """Answer a client that has finished sending but still listens; then the connection ends."""
        last: RequestResponseCycle | None = self.pipeline[0][0] if self.pipeline else self.cycle
        if last is None or last.response_complete or last.more_body:
            return None
        last.keep_alive = False
        return True

    def on_message_begin(self) -> None:
        """Start the time limit of a head; the first bytes of the next request may be here already."""
        super().on_message_begin()
        self._expect(self._limits.head_s, self._end_head)

    def on_headers_complete(self) -> None:
        """Start the time limit of the body, unless HTTP forbids the head."""
        self._in_head, self._head_bytes = False, 0
        hosts = [value for name, value in self.headers if name == b"host"]
        if len(hosts) > 1 or (not hosts and self.parser.get_http_version() == "1.1"):
            self._refuse(Problem("bad-request", f"Expected one Host header but found {len(hosts)}."))
            return
        self._expect(self._limits.receive_s + _AFTER_BODY_S, partial(self._hang_up, "too-slow"))
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Pass a part of the body on."""
        if not self._refused:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """End the body; the head of another request comes next."""
        if self._refused:
            return
        self._in_head, self._head_bytes = True, 0
        self._expect(None)
        super().on_message_complete()

    def pause_writing(self) -> None:
        """Start the time limit for a client that does not fetch its answer."""
        super().pause_writing()
        self._leaving = self.loop.call_later(self._limits.send_s, partial(self._hang_up, "not-fetched"))

    def resume_writing(self) -> None:
        """End that time limit, because the client fetches."""
        if self._leaving is not None:
            self._leaving.cancel()
            self._leaving = None
        super().resume_writing()

    def send_400_response(self, msg: str) -> None:
        """Refuse a request that is not HTTP; uvicorn's message about it stays in the log."""
        del msg
        self._refuse(Problem("bad-request", "It is not valid HTTP."))

    def _expect(self, seconds: float | None, otherwise: Callable[[], None] | None = None) -> None:
        """Set the only clock to a new time limit, or stop it."""
        if self._arriving is not None:
            self._arriving.cancel()
            self._arriving = None
        if seconds is not None and otherwise is not None:
            self._arriving = self.loop.call_later(seconds, otherwise)

    def _end_head(self) -> None:
        if self._head_bytes:
            self._refuse(
                Problem("too-slow", f"Its head did not arrive within {self._limits.head_s:g} seconds.")
            )
        else:
            self.transport.close()  # browsers open connections that they may never use

    def _hang_up(self, why: str) -> None:
        """End the connection without an answer."""
        self._count(why)
        self.transport.abort()

    def _count(self, why: str) -> None:
        self._metrics.refusals.labels(why).inc()
        LOG.info("refused below HTTP: %s", why)

    def _refuse(self, problem: Problem) -> None:
        """Answer without the application, and hang up."""
        self._expect(None)
        self._refused = True
        if self.transport.is_closing():
            return
        self._count(problem.code)
        body = json.dumps(problem.document(), ensure_ascii=False).encode()
        status = HTTPStatus(problem.kind.status)
        headers = {
            **problem.headers,
            "Content-Type": MEDIA_TYPE,
            "Content-Length": str(len(body)),
            "X-Content-Type-Options": "nosniff",
            "Cache-Control": "no-store",
            "Connection": "close",
        }
        lines = [f"HTTP/1.1 {status.value} {status.phrase}", *(f"{key}: {headers[key]}" for key in headers)]
        self.transport.write("\r\n".join([*lines, "", ""]).encode() + body)
        self.transport.close()
