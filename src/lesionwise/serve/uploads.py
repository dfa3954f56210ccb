"""Reading the images of a request and their metadata: every limit applies before the bytes are examined.

Here: the multipart form, read as it arrives and kept only in memory (Starlette's own reader would put larger
files on disk), and the kind of a file from its first bytes. Not here: decoding (`decoding`).
"""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Collection, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Final, NamedTuple

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, MultipartState, parse_options_header
from starlette.requests import ClientDisconnect, Request

from lesionwise.data.dicom import is_dicom
from lesionwise.data.images import READS_HEIC, is_avif, is_heic
from lesionwise.serve.limits import Limits
from lesionwise.serve.problems import Problem
from lesionwise.wording import counted

FIELD: Final = "image"
VALUE_BYTES: Final = 64  # of a metadata field
READS_DICOM: Final = find_spec("pydicom") is not None
MAX_PARTS: Final = 64  # of any name; other parts than images are skipped, but not without limit
_UNSAFE_NAME: Final = re.compile(
    rb"[/\x00-\x1f\x7f]|\\(?!\")|%(2f|5c|0[0-9a-f]|1[0-9a-f])|filename\*?=[\"']?\.{1,2}[\"']?\s*(;|$)",
    re.IGNORECASE,
)
_STARTS: Final = (
    re.compile(rb"\xff\xd8\xff"),  # JPEG
    re.compile(rb"\x89PNG\r\n\x1a\n"),
    re.compile(rb"RIFF.{4}WEBPVP8", re.DOTALL),
    re.compile(rb"II\*\x00|MM\x00\*"),  # TIFF
    re.compile(rb"BM.{4}\0\0\0\0", re.DOTALL),
)
_FOREIGN: Final = (  # an image with one of these is also a web page, a script or an archive
    *(b"<script", b"<?php", b"<!doctype", b"<html", b"<svg ", b"<svg>"),
    *(b"7z\xbc\xaf\x27\x1c", b"rar!\x1a\x07"),
)
_LOOKED_AT: Final = 1 << 16  # at both ends, where programs look for the kind of a file
_PDF_WITHIN: Final = 1024  # readers look no further for a PDF's beginning
_ZIP_END: Final = b"PK\x05\x06"
_ZIP_END_BYTES: Final = 22  # without the comment, whose length is in the last two


class Budget:
    """Received bytes of all requests together.

    The announced length of a request does not count, so nobody can block others with it. When there are too
    many bytes, the slowest requests are refused until the rest fits.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._holds: set[Hold] = set()

    @property
    def held(self) -> int:
        """Number of bytes of all requests."""
        return sum(hold.bytes for hold in self._holds)

    @contextmanager
    def hold(self) -> Iterator["Hold"]:
        """Hold the bytes of one request inside the block."""
        hold = Hold(self)
        self._holds.add(hold)
        try:
            yield hold
        finally:
            self._holds.discard(hold)

    def make_room(self) -> None:
        """Refuse slow requests until the rest fits.

        Raises:
            Problem: If all other requests have arrived already, and are being answered.
        """
        while self.held > self.limit:
            arriving = [hold for hold in self._holds if hold.clock is not None and hold.bytes]
            if not arriving:
                raise Problem("busy", "Other requests hold all the memory for requests.")
            min(arriving, key=Hold.speed).turn_away()


class Hold:
    """The bytes of one request.

    Attributes:
        bytes: Number of received bytes.
        clock: Runs while more bytes are to come.
        turned_away: Whether the request was refused so that others fit.
    """

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._started = time.monotonic()
        self.bytes = 0
        self.clock: asyncio.Timeout | None = None
        self.turned_away = False

    def add(self, count: int) -> None:
        """Count received bytes."""
        self.bytes += count
        self._budget.make_room()
        if self.turned_away:
            raise too_slow_to_keep()

    def speed(self) -> float:
        """Return the speed of the request, in bytes per second."""
        return self.bytes / max(time.monotonic() - self._started, 1e-3)

    def turn_away(self) -> None:
        """End the request at once."""
        self.turned_away, self.bytes = True, 0
        if self.clock is not None:
            self.clock.reschedule(-1)
            self.clock = None


def too_slow_to_keep() -> Problem:
    """Return the problem of a request that was refused because memory ran out."""
    return Problem("busy", "Other requests needed the memory, and this one arrived most slowly.")


def verify_length(request: Request, limits: Limits) -> None:
    """Refuse a request that announces too many bytes."""
    announced = request.headers.get("content-length", "")
    count = int(announced) if announced.isascii() and announced.isdigit() else 0
    if count > limits.request_bytes:
        raise Problem(
            "too-many-bytes", f"The request has {count:,} bytes; at most {limits.request_bytes:,} are read."
        )


class Upload(NamedTuple):
    """The content of a request.

    Attributes:
        images: The files of the field `image`, in their order.
        values: The text of each other requested field that is not empty, by its name.
    """

    images: list[bytes]
    values: dict[str, str]


async def read_upload(request: Request, limits: Limits, hold: Hold, fields: Collection[str] = ()) -> Upload:
    """Return the images of a request and the values of these fields; other fields are skipped."""
    verify_length(request, limits)
    form = _Form(_boundary(request), limits, fields)
    problem = None
    async for chunk in arriving(request, limits, hold):
        if problem is None:
            try:
                form.feed(chunk)
            except Problem as found:
                problem = found  # the rest is still read, because many clients read an answer only afterwards
    if problem is not None:
        raise problem
    return form.finish()


async def arriving(request: Request, limits: Limits, hold: Hold) -> AsyncIterator[bytes]:
    """Yield the body of a request as it arrives.

    Raises:
        Problem: If it is too large, too slow, or ends too early.
    """
    received = 0
    try:
        async with asyncio.timeout(limits.receive_s) as hold.clock:
            async for chunk in request.stream():
                received += len(chunk)
                if received > limits.request_bytes:
                    raise Problem(
                        "too-many-bytes",
                        f"The request has more than the {limits.request_bytes:,} bytes that are read.",
                    )
                hold.add(len(chunk))
                yield chunk
    except TimeoutError as error:
        if hold.turned_away:
            raise too_slow_to_keep() from error
        raise Problem("too-slow", f"It did not arrive within {limits.receive_s:g} seconds.") from error
    except ClientDisconnect as error:
        raise Problem("bad-request", "The connection ended before the request did.") from error
    finally:
        hold.clock = None


def _boundary(request: Request) -> bytes:
    kind, options = parse_options_header(request.headers.get("content-type", "").encode("latin-1"))
    if kind != b"multipart/form-data":
        raise Problem("not-multipart", "Expected the content type multipart/form-data.")
    boundary = options.get(b"boundary", b"")
    if not 1 <= len(boundary) <= 70:  # noqa: PLR2004 (RFC 2046, 5.1.1)
        raise Problem("bad-request", "The content type has no valid boundary.")
    return boundary


class _Form:
    """Callbacks of the parser; keeps the files and the requested fields, and drops the rest."""

    def __init__(self, boundary: bytes, limits: Limits, fields: Collection[str]) -> None:
        self.images: list[bytes] = []
        self.values: dict[str, str] = {}
        self._limits = limits
        self._fields = {name.encode(): name for name in fields}
        self._field: str | None = None
        self._parts = 0
        self._name, self._value, self._disposition = bytearray(), bytearray(), b""
        self._content: bytearray | None = None
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin,
                "on_header_field": lambda data, start, end: self._name.extend(data[start:end]),
                "on_header_value": lambda data, start, end: self._value.extend(data[start:end]),
                "on_header_end": self._keep_header,
                "on_headers_finished": self._open,
                "on_part_data": self._add,
                "on_part_end": self._close,
            },
        )

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes of the body."""
        try:
            self._parser.write(chunk)
        except FormParserError as error:
            raise Problem("bad-request", "The form does not follow its own boundary.") from error

    def finish(self) -> Upload:
        """Return the kept content once all bytes have arrived."""
        if self._parser.state != MultipartState.END:
            raise Problem("bad-request", "The form ends before its last boundary.")
        if not self.images:
            raise Problem("no-image", f"The field “{FIELD}” holds no file.")
        return Upload(self.images, self.values)

    def _begin(self) -> None:
        self._parts += 1
        if self._parts > MAX_PARTS:
            raise Problem("too-many-images", f"The form has more than {MAX_PARTS} parts.")
        self._disposition, self._content, self._field = b"", None, None

    def _keep_header(self) -> None:
        if self._name.lower() == b"content-disposition":
            self._disposition = bytes(self._value)
        self._name.clear()
        self._value.clear()

    def _open(self) -> None:
        _, options = parse_options_header(self._disposition)
        self._field = self._fields.get(options.get(b"name", b""))
        if self._field in self.values:
            raise Problem("bad-request", f"The field “{self._field}” occurs twice.")
        if self._field:
            self._content = bytearray()
        if options.get(b"name") != FIELD.encode():
            return
        if _UNSAFE_NAME.search(self._disposition):
            raise Problem(
                "bad-name", "A file name contains a path or control characters.", image=len(self.images)
            )
        if len(self.images) == self._limits.images:
            most = counted(self._limits.images, "image is", "images are")
            raise Problem("too-many-images", f"At most {most} read at a time.")
        self._content = bytearray()

    def _add(self, data: bytes, start: int, end: int) -> None:
        if self._content is None:
            return
        if self._field:
            if len(self._content) + end - start > VALUE_BYTES:
                raise Problem("bad-metadata", f"The field “{self._field}” has more than {VALUE_BYTES} bytes.")
        elif len(self._content) + end - start > self._limits.image_bytes:
            raise Problem(
                "too-many-bytes",
                f"The image has more than the {self._limits.image_bytes:,} bytes that are read.",
                image=len(self.images),
            )
        self._content += data[start:end]

    def _close(self) -> None:
        if self._field and self._content is not None:
            self.values[self._field] = self._content.decode("utf-8", "replace")
        elif self._content:  # browsers send an empty file if none was chosen
            self.images.append(bytes(self._content))
        self._content = None


def verify_kind(content: bytes) -> None:
    """Make sure that a file is an image of a known kind and nothing else, without decoding it."""
    known = any(start.match(content) for start in _STARTS)
    if is_dicom(content):
        if known:
            raise Problem("not-an-image", "It is a DICOM file and an image of another kind at the same time.")
        if not READS_DICOM:
            raise Problem("not-an-image", "It is a DICOM file. This service lacks the extra “dicom” for it.")
    elif is_heic(content):
        if not READS_HEIC:
            lacking = "It is a HEIC file. This service lacks the extra “heif” for it. Save it as JPEG."
            raise Problem("not-an-image", lacking)
    elif not known and not is_avif(content):
        raise Problem("not-an-image", "Its first bytes are not those of an image, whatever its name says.")
    whole = len(content) <= 2 * _LOOKED_AT
    ends = (content if whole else content[:_LOOKED_AT] + content[-_LOOKED_AT:]).lower()
    if (
        b"%PDF-" in content[:_PDF_WITHIN]
        or any(foreign in ends for foreign in _FOREIGN)
        or _is_zip(content[-_LOOKED_AT:])
    ):
        raise Problem("not-an-image", "It is an image and a document, script or archive at the same time.")


def _is_zip(tail: bytes) -> bool:
    at = tail.rfind(_ZIP_END)
    end = at + _ZIP_END_BYTES
    return at >= 0 and int.from_bytes(tail[end - 2 : end], "little") == len(tail) - end
