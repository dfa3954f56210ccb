"""One file over HTTP, whole and verified or not at all.

Not here: which files there are (`sources`).

Bytes go to `name.part`; what is known of them is in `name.part.json`, so that a later run may go on where
this one stopped. `name.part` is renamed to `name` only after size and checksum fit. No library does this:
pooch resumes nothing and asks with HEAD, to which Dataverse answers 403.

References:
    RFC 9110, sections 10.2.3 (Retry-After), 13.1.5 (If-Range) and 14 (Range)
"""

import json
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http.client import HTTPException, HTTPResponse
from importlib.metadata import version
from pathlib import Path
from ssl import SSLError
from typing import Any, Final
from urllib import request as http
from urllib.error import HTTPError, URLError

from lesionwise.data.download.sources import RemoteFile
from lesionwise.errors import DownloadError
from lesionwise.files import write_text
from lesionwise.progress import SILENT, Progress

WRONG_BYTES_TWICE: Final = 2
LONGEST_WAIT_S: Final = 120.0
BLOCK_BYTES: Final = 1 << 20
_TRANSIENT: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
_PARTIAL: Final = 206
_RANGE_NOT_SATISFIABLE: Final = 416
_ZIP_MAGIC: Final = b"PK\x03\x04"


@dataclass(frozen=True)
class Patience:
    """How often and how long to try.

    Attributes:
        attempts: Failures in a row, without a byte gained, after which a source is given up.
        first_wait_s: Before the second attempt; it doubles from there on, with jitter.
        timeout_s: Seconds without a byte after which a connection is given up.
    """

    attempts: int = 6
    first_wait_s: float = 1.0
    timeout_s: float = 30.0
    sleep: Callable[[float], None] = time.sleep


class _TransientError(Exception):
    """Worth another attempt, after a wait that the server may have named."""

    def __init__(self, message: str, wait_s: float | None = None) -> None:
        super().__init__(message)
        self.wait_s = wait_s


def fetch(
    file: RemoteFile,
    address: str,
    folder: Path,
    *,
    progress: Progress = SILENT,
    patience: Patience | None = None,
) -> Path:
    """Download a file, or go on where an earlier run stopped, and return its path.

    Args:
        address: Address of the source; the file's path is appended to it.
        folder: Folder to write the file to; what is there under its name and fits its checksum is left
            untouched.

    Raises:
        DownloadError: If the source does not provide the file, or provides something else.
    """
    patience = patience or Patience()
    target = folder / file.name
    if target.exists() and file.md5 and not file.fault_of(target):
        return target
    folder.mkdir(parents=True, exist_ok=True)
    part = _Part(target, address + file.path)
    failures, wrong = 0, 0
    while True:
        before, _ = part.read()
        try:
            _stream(part, file, progress, patience.timeout_s)
        except _TransientError as error:
            after, _ = part.read()
            failures = 1 if after > before else failures + 1  # a slow success is no failure
            if failures >= patience.attempts:
                raise DownloadError(f"{part.url}: gave up after {failures} attempts: {error}.") from error
            patience.sleep(_wait_s(failures, error.wait_s, patience))
            continue
        fault = file.fault_of(part.path)
        if fault is None:
            return part.finish()
        part.discard()  # not to be resumed: which of its bytes are wrong is not known
        wrong += 1
        if wrong >= WRONG_BYTES_TWICE:
            raise DownloadError(f"{part.url}: {fault}, twice.")


class _Part:
    """The unfinished file beside its target, and what validates it."""

    def __init__(self, target: Path, url: str) -> None:
        self.target = target
        self.url = url
        self.path = target.with_name(f"{target.name}.part")
        self.facts = target.with_name(f"{target.name}.part.json")

    def read(self) -> tuple[int, str | None]:
        """Return how many bytes there are, and the validator to resume with; none of another address."""
        try:
            facts: dict[str, Any] = json.loads(self.facts.read_text(encoding="utf-8"))
            if facts["url"] == self.url and facts["validator"]:
                return self.path.stat().st_size, str(facts["validator"])
        except (OSError, ValueError, KeyError):
            pass
        return 0, None

    def begin(self, validator: str | None) -> None:
        self.path.unlink(missing_ok=True)
        write_text(self.facts, json.dumps({"url": self.url, "validator": validator}))

    def discard(self) -> None:
        self.path.unlink(missing_ok=True)
        self.facts.unlink(missing_ok=True)

    def finish(self) -> Path:
        self.path.replace(self.target)
        self.facts.unlink(missing_ok=True)
        return self.target


def _stream(part: _Part, file: RemoteFile, progress: Progress, timeout_s: float) -> None:
    have, validator = part.read()
    headers = {"User-Agent": f"lesionwise/{version('lesionwise')}", "Accept-Encoding": "identity"}
    if have and validator:
        headers |= {"Range": f"bytes={have}-", "If-Range": validator}
    try:
        with _open(part, http.Request(part.url, headers=headers), timeout_s) as response:  # noqa: S310 (http only, below)
            answered = response.headers.get("Content-Range") or ""
            if response.status != _PARTIAL or not answered.startswith(f"bytes {have}-"):
                have = 0  # the server sends the whole file
            if have == 0:
                part.begin(_validator(response))
            length = response.headers.get("Content-Length") or ""
            total = (have + int(length) if length.isdigit() else 0) or file.size or 0
            _write(part, response, file, have=have, total=total, progress=progress)
    except (URLError, SSLError, TimeoutError, ConnectionError, HTTPException) as error:
        raise _TransientError(f"the connection failed ({str(error) or type(error).__name__})") from error


def _open(part: _Part, request: http.Request, timeout_s: float) -> HTTPResponse:
    opener = http.OpenerDirector()  # http and https alone: no file:, no ftp:, also behind a redirect
    for handler in (http.ProxyHandler, http.HTTPHandler, http.HTTPSHandler, http.HTTPRedirectHandler):
        opener.add_handler(handler())
    opener.add_handler(http.HTTPErrorProcessor())
    opener.add_handler(http.HTTPDefaultErrorHandler())
    try:
        response = opener.open(request, timeout=timeout_s)
    except HTTPError as error:
        error.close()
        if error.code == _RANGE_NOT_SATISFIABLE:
            part.discard()
            raise _TransientError("the server cannot continue the part of the file that was here") from error
        if error.code in _TRANSIENT:
            message = f"the server answered {error.code} {error.reason}"
            raise _TransientError(message, _retry_after_s(error.headers.get("Retry-After"))) from error
        raise DownloadError(f"{part.url}: the server answered {error.code} {error.reason}.") from error
    if response is None:
        raise DownloadError(f"{part.url}: expected an http or https address.")
    return response  # type: ignore[no-any-return] # typeshed does not know what an opener opens


def _write(
    part: _Part, response: HTTPResponse, file: RemoteFile, *, have: int, total: int, progress: Progress
) -> None:
    with part.path.open("ab") as out:
        while block := response.read(BLOCK_BYTES):
            if have == 0:
                _refuse_foreign(part, block, file)
            out.write(block)
            have += len(block)
            if file.size and (total != file.size or have > file.size):
                part.discard()
                offered = max(total, have)
                raise DownloadError(
                    f"{part.url}: expected {file.size:,} bytes but the server offers {offered:,}."
                )
            progress.on_bytes(file.name, have, total)
    if have < total:
        raise _TransientError(f"the connection ended after {have:,} of {total:,} bytes")


def _refuse_foreign(part: _Part, block: bytes, file: RemoteFile) -> None:
    """Raise if the first bytes are those of a web page, or of no archive where one is expected."""
    start = block[:512].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith((b"<!doctype", b"<html", b"<?xml", b"<head", b"<error")):
        part.discard()
        raise DownloadError(
            f"{part.url}: expected {file.name} but the server sent a web page under its name."
        )
    if file.is_zip and not block.startswith(_ZIP_MAGIC):
        part.discard()
        raise DownloadError(f"{part.url}: expected a zip archive but the server sent something else.")


def _validator(response: HTTPResponse) -> str | None:
    """Return what If-Range may hold: a strong ETag or a date. None means that nothing can be resumed."""
    etag = response.headers.get("ETag")
    if etag:
        return None if etag.startswith("W/") else etag
    return response.headers.get("Last-Modified")


def _retry_after_s(value: str | None) -> float | None:
    if not value:
        return None
    if value.strip().isdigit():
        return float(value)
    try:
        return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError):
        return None


def _wait_s(failures: int, named_s: float | None, patience: Patience) -> float:
    if named_s is not None:
        return min(named_s, LONGEST_WAIT_S)
    jitter = random.uniform(0.5, 1.5)  # noqa: S311 (so that many clients do not come back at once)
    return float(min(patience.first_wait_s * 2 ** (failures - 1) * jitter, LONGEST_WAIT_S))
