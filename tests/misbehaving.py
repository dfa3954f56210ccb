"""A local server that hands out files and misbehaves on purpose, as told for each path."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

REFUSED_AGENTS = ("python-requests", "Python-urllib")
PAGE = b"<!DOCTYPE html>\n<html><body>Checking your browser before you go on.</body></html>" * 20


@dataclass
class Site:
    """What is served, how, and what was asked for.

    Attributes:
        files: Content by path.
        faults: For each path the ways to misbehave, one request after the other; then it behaves.
        asked: Method, path and Range of each request.
        ranges: Whether ranges are known.
    """

    files: dict[str, bytes]
    faults: dict[str, list[str]] = field(default_factory=dict)
    asked: list[tuple[str, str, str | None]] = field(default_factory=list)
    ranges: bool = True
    address: str = ""

    def count(self, path: str) -> int:
        return sum(asked == path for _, asked, _ in self.asked)


@contextmanager
def serve(site: Site) -> Iterator[Site]:
    class Handler(_Handler):
        served = site

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    site.address = f"http://127.0.0.1:{server.server_address[1]}/"
    try:
        yield site
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    served: Site

    def do_HEAD(self) -> None:
        self.served.asked.append(("HEAD", self.path[1:], None))
        self._answer(403, b"")

    def do_GET(self) -> None:
        path, wanted = self.path[1:], self.headers.get("Range")
        self.served.asked.append(("GET", path, wanted))
        if any(agent in self.headers.get("User-Agent", "") for agent in REFUSED_AGENTS):
            self._answer(403, b"")
            return
        queue = self.served.faults.get(path, [])
        fault = queue.pop(0) if queue else "none"
        content = self.served.files.get(path)
        if content is None:
            self._answer(404, b"")
        elif hasattr(self, f"_{fault}"):
            getattr(self, f"_{fault}")(content)
        elif fault.isdigit():
            self._answer(int(fault), b"")
        else:
            self._whole_or_range(content)

    def _whole_or_range(self, content: bytes, etag: str = '"one"') -> None:
        wanted = self.headers.get("Range")
        if wanted and self.served.ranges and self.headers.get("If-Range") == etag:
            start = int(wanted.removeprefix("bytes=").partition("-")[0])
            if start >= len(content):
                self._answer(416, b"")
                return
            headers = {"Content-Range": f"bytes {start}-{len(content) - 1}/{len(content)}", "ETag": etag}
            self._answer(206, content[start:], headers)
        else:
            self._answer(200, content, {"ETag": etag} if self.served.ranges else {})

    def _html(self, _: bytes) -> None:
        self._answer(200, PAGE)

    def _empty(self, _: bytes) -> None:
        self._answer(200, b"")

    def _wrong(self, content: bytes) -> None:
        self._whole_or_range(content[:100] + bytes(len(content) - 100))

    def _foreign(self, content: bytes) -> None:
        self._answer(200, bytes(len(content)))

    def _shorter(self, content: bytes) -> None:
        self._answer(200, content[: len(content) // 2])

    def _longer(self, content: bytes) -> None:
        self._answer(200, content + b"more")

    def _truncated(self, content: bytes) -> None:
        """Promise all, send half of what is wanted, and hang up."""
        wanted = self.headers.get("Range")
        start = int(wanted.removeprefix("bytes=").partition("-")[0]) if wanted and self.served.ranges else 0
        rest = content[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(rest)))
        self.send_header("ETag", '"one"')
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.end_headers()
        self.wfile.write(rest[: max(1, len(rest) // 2)])
        self.close_connection = True

    def _endless(self, content: bytes) -> None:
        """Send without saying how much, and hang up in the middle."""
        self.send_response(200)
        self.end_headers()
        self.wfile.write(content[: len(content) // 2])

    def _hangs(self, content: bytes) -> None:
        """Send a little and then nothing."""
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("ETag", '"one"')
        self.end_headers()
        self.wfile.write(content[:64])
        self.wfile.flush()
        time.sleep(0.6)

    def _drops(self, _: bytes) -> None:
        self.close_connection = True

    def _changed(self, content: bytes) -> None:
        self._whole_or_range(content, etag='"two"')

    def _soon(self, _: bytes) -> None:
        self._answer(503, b"", {"Retry-After": "7"})

    def _at(self, _: bytes) -> None:
        at = datetime.now(UTC) + timedelta(seconds=40)
        self._answer(429, b"", {"Retry-After": format_datetime(at, usegmt=True)})

    def _moved(self, _: bytes) -> None:
        self._answer(302, b"", {"Location": f"/{self.path[1:]}"})

    def _file(self, _: bytes) -> None:
        self._answer(302, b"", {"Location": "file:///etc/hostname"})

    def _ftp(self, _: bytes) -> None:
        self._answer(302, b"", {"Location": "ftp://127.0.0.1/x"})

    def _answer(self, code: int, content: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(code)
        for name, value in {"Content-Length": str(len(content)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Say nothing."""
