"""Requests that come together go through the network together.

Here: who waits, for how long, and for what. Not here: how many may wait (`service`). A lone image never
waits: a batch is held back only while others are being decoded, which cost the network less in company.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
Arrays = dict[str, NDArray[np.float32]]
Waiting = tuple[Pixels, "asyncio.Future[Arrays]"]


class Batcher:
    """One thread that runs the network on whatever has come in.

    Args:
        run: From pixels (N, H, W, 3) to an array of N rows for each output.
        size: Most images of a batch.
        wait_s: How long a batch is held back while others are coming.
        coming: How many images will be here soon.
        on_batch: Told the size of each batch.
    """

    def __init__(
        self,
        run: Callable[[Pixels], Arrays],
        *,
        size: int,
        wait_s: float,
        coming: Callable[[], int],
        on_batch: Callable[[int], None],
    ) -> None:
        self._run = run
        self._size = size
        self._wait_s = wait_s
        self._coming = coming
        self._on_batch = on_batch
        self._queue: asyncio.Queue[Waiting] = asyncio.Queue()
        self._thread = ThreadPoolExecutor(1, "network")
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to take images; an event loop must be running."""
        self._task = asyncio.get_running_loop().create_task(self._serve())

    async def stop(self) -> None:
        """Stop taking images."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        self._thread.shutdown(wait=True)

    async def predict(self, pixels: Pixels) -> Arrays:
        """Return the outputs for one image, each with one row.

        Args:
            pixels: Shape (H, W, 3).
        """
        done: asyncio.Future[Arrays] = asyncio.get_running_loop().create_future()
        self._queue.put_nowait((pixels, done))
        return await done

    async def _serve(self) -> None:
        while True:
            batch = [await self._queue.get()]
            await self._fill(batch)
            await self._answer([waiting for waiting in batch if not waiting[1].cancelled()])

    async def _fill(self, batch: list[Waiting]) -> None:
        until = asyncio.get_running_loop().time() + self._wait_s
        while len(batch) < self._size:
            if not self._queue.empty():
                batch.append(self._queue.get_nowait())
                continue
            if not self._coming():
                return
            try:
                async with asyncio.timeout_at(until):
                    batch.append(await self._queue.get())
            except TimeoutError:
                return

    async def _answer(self, batch: list[Waiting]) -> None:
        if not batch:
            return
        self._on_batch(len(batch))
        loop = asyncio.get_running_loop()
        pixels = np.stack([waiting[0] for waiting in batch])
        try:
            arrays = await loop.run_in_executor(self._thread, self._run, pixels)
        except Exception as error:  # noqa: BLE001 (whatever it was, it belongs to those who wait)
            for _, done in batch:
                if not done.done():
                    done.set_exception(error)
            return
        for row, (_, done) in enumerate(batch):
            if not done.done():
                done.set_result({name: values[row : row + 1] for name, values in arrays.items()})
