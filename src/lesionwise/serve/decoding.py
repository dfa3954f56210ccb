"""The pool of decoders: a strict time limit, and a new process for one that was stopped or died.

A decoder that dies or hangs proves nothing about its picture: it is replaced, and the picture gets a second
try on another one. Here: processes and frames. Not here: the work of a decoder (`decoder`).
"""

import asyncio
import json
import logging
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import numpy as np

from lesionwise.arrays import Pixels
from lesionwise.bundle.description import ImageInput
from lesionwise.serve.decoder import LENGTH, PING, WITH_PREVIEW, WITHOUT_PREVIEW
from lesionwise.serve.limits import Limits
from lesionwise.serve.problems import Problem

START_S: Final = 60.0
AGAIN_S: Final = 2.0
WAIT_S: Final = 60.0
END_S: Final = 0.5
LOOK_S: Final = 0.25
"""Seconds between checks whether a busy decoder was stopped."""
PING_S: Final = 1.0
TRIES: Final = 2
_ENVIRONMENT: Final = frozenset(
    {"PATH", "HOME", "LANG", "LC_ALL", "TZ", "PYTHONHOME", "PYTHONPATH", "PYTHONDONTWRITEBYTECODE"}
    | {"LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SYSTEMROOT", "TMPDIR", "TEMP", "TMP", "APPDATA"}
)
"""What Python needs to find its packages; malicious files must not reach the token and the rest."""
_LOG: Final = logging.getLogger("lesionwise.serve")
_FRAME_BYTES: Final = 256 << 20


@dataclass(frozen=True)
class DecodedImage:
    """A decoded image.

    Attributes:
        pixels: Input of the network, shape (H, W, 3).
        width: Width of the whole upright image in pixels.
        height: Height of the same, in pixels.
        preview: A small JPEG of it for people; empty if not requested.
        pictures: Number of pictures in the file; the first was decoded.
    """

    pixels: Pixels
    width: int
    height: int
    preview: bytes
    pictures: int = 1


class Decoders:
    """Processes that decode; start them before use, and stop them in the end.

    Attributes:
        at_work: Number of busy processes.
    """

    def __init__(
        self, rule: ImageInput, limits: Limits, count: int, on_restart: Callable[[], None] = lambda: None
    ) -> None:
        self._shape = (*rule.size, 3)
        self._limits = limits
        settings = {"size": rule.size, "steps": rule.steps, "pixels": limits.pixels}
        settings |= {"side_px": limits.side_px, "seconds": limits.decode_s}
        self._settings = json.dumps(settings)
        self._idle: asyncio.Queue[asyncio.subprocess.Process] = asyncio.Queue()
        self._count = count
        self._on_restart = on_restart
        self.at_work = 0
        self._all: set[asyncio.subprocess.Process] = set()
        self._replacing: set[asyncio.Task[None]] = set()

    @property
    def processes(self) -> tuple[int, ...]:
        """Process ids."""
        return tuple(process.pid for process in self._all)

    async def start(self) -> None:
        """Start all processes; returns when they are ready."""
        await asyncio.gather(*(self._add() for _ in range(self._count)))

    async def stop(self) -> None:
        """End all processes."""
        for task in self._replacing:
            task.cancel()
        await asyncio.gather(*self._replacing, return_exceptions=True)
        for process in tuple(self._all):
            await self._end(process)

    async def decode(self, content: bytes, *, preview: bool = False) -> DecodedImage:
        """Return the picture in a file.

        Raises:
            Problem: If there is none, or decoding takes too long.
        """
        frame = (WITH_PREVIEW if preview else WITHOUT_PREVIEW) + content
        for _ in range(TRIES):
            with suppress(_DecoderLostError):
                return self._picture(await self._ask(await self._free(), frame, self._limits.decoder_s))
        raise Problem("decoder-failed", f"{TRIES} decoders ended or hung while they decoded it.")

    async def answers(self) -> bool:
        """Return whether a decoder answers; silent ones are replaced."""
        for _ in range(self._idle.qsize()):  # without those that are started meanwhile
            if self._idle.empty():
                break
            with suppress(_DecoderLostError):
                await self._ask(self._idle.get_nowait(), PING, PING_S)
                return True
        return self.at_work > 0

    async def _ask(self, process: asyncio.subprocess.Process, frame: bytes, seconds: float) -> bytes:
        """Return a decoder's answer; a decoder without an answer within the time is replaced."""
        well = False
        self.at_work += 1
        try:
            async with asyncio.timeout(seconds):
                answer = await _exchange(process, frame)
            well = True
        except (OSError, EOFError) as error:  # a timeout is an OSError
            if await _used_up_its_time(process):
                limit = f"{self._limits.decode_s:g} seconds of processor time"
                raise Problem("decoding-time", f"It was not decoded within {limit}.") from error
            raise _DecoderLostError from error
        finally:
            self.at_work -= 1
            if well:
                self._idle.put_nowait(process)
            else:
                task = asyncio.get_running_loop().create_task(self._replace(process))
                self._replacing.add(task)
                task.add_done_callback(self._replacing.discard)
        return answer

    async def _free(self) -> asyncio.subprocess.Process:
        """Return an idle process; under load others come first."""
        try:
            async with asyncio.timeout(WAIT_S):
                return await self._idle.get()
        except TimeoutError as error:
            raise Problem("busy", f"No decoder was free within {WAIT_S:g} seconds.") from error

    def _picture(self, frame: bytes) -> DecodedImage:
        head, _, rest = frame.partition(b"\n")
        found = json.loads(head)
        if "refused" in found:
            raise Problem(found["refused"], found["detail"])
        pixels = np.frombuffer(rest, np.uint8, count=found["pixels"]).reshape(self._shape)
        preview = rest[found["pixels"] :]
        return DecodedImage(pixels, found["width"], found["height"], preview, found["pictures"])

    async def _add(self) -> None:
        kept = {name: value for name, value in os.environ.items() if name.upper() in _ENVIRONMENT}
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",  # no imports from the folder where the service was started
            "-m",
            "lesionwise.serve.decoder",
            self._settings,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,  # messages of decoders may quote a file
            env={**kept, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
            limit=1 << 20,
        )
        self._all.add(process)
        try:
            async with asyncio.timeout(START_S):
                await _receive(process)
        except BaseException:
            await self._end(process)
            raise
        self._idle.put_nowait(process)

    async def _replace(self, process: asyncio.subprocess.Process) -> None:
        """End a process and start another, and try again if the system refuses one."""
        self._on_restart()
        await self._end(process)
        while True:
            try:
                return await self._add()
            except (OSError, EOFError):  # a timeout is an OSError
                _LOG.warning("A decoder could not be started. The next try is in %g seconds.", AGAIN_S)
                await asyncio.sleep(AGAIN_S)

    async def _end(self, process: asyncio.subprocess.Process) -> None:
        self._all.discard(process)
        if process.stdin is not None:
            process.stdin.close()  # which ends a healthy one
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(END_S):
                    await process.wait()
        finally:  # also when the service stops meanwhile
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()


class _DecoderLostError(Exception):
    """A decoder died, hung or was stopped; this proves nothing about its task."""


async def _exchange(process: asyncio.subprocess.Process, frame: bytes) -> bytes:
    """Return the answer to a frame; give up at once on a stopped process."""
    exchange = asyncio.ensure_future(_send_and_receive(process, frame))
    try:
        while not (await asyncio.wait({exchange}, timeout=LOOK_S))[0]:
            if _is_stopped(process.pid):
                raise EOFError
        return exchange.result()
    finally:
        exchange.cancel()
        await asyncio.gather(exchange, return_exceptions=True)


async def _send_and_receive(process: asyncio.subprocess.Process, frame: bytes) -> bytes:
    if process.stdin is None:
        raise EOFError
    process.stdin.write(LENGTH.pack(len(frame)))
    process.stdin.write(frame)
    await process.stdin.drain()
    return await _receive(process)


def _is_stopped(pid: int) -> bool:
    """Return whether a child is stopped, as by SIGSTOP; False if the system does not report it."""
    if sys.platform == "win32" or not hasattr(os, "waitid"):
        return False
    with suppress(ChildProcessError):
        return os.waitid(os.P_PID, pid, os.WSTOPPED | os.WNOHANG | os.WNOWAIT) is not None
    return False


async def _used_up_its_time(process: asyncio.subprocess.Process) -> bool:
    """Return whether the kernel ended a decoder because it used up its processor time."""
    with suppress(TimeoutError):
        async with asyncio.timeout(END_S):
            await process.wait()
    return sys.platform != "win32" and process.returncode == -signal.SIGPROF


async def _receive(process: asyncio.subprocess.Process) -> bytes:
    if process.stdout is None:
        raise EOFError
    length = LENGTH.unpack(await process.stdout.readexactly(LENGTH.size))[0]
    if length > _FRAME_BYTES:
        raise EOFError
    return await process.stdout.readexactly(length)
