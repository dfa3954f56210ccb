"""Requests that arrive together go through the network together.

Not here: how many may wait (`service`). A single image never waits: a batch is held back only while other
images are being decoded, which are cheaper in the same batch.
"""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class Batcher(Generic[Item, Result]):
    """Threads that run the network on the items that have arrived.

    Args:
        run: Function from the items of a batch to their common result.
        run_alone: The same for a batch while no other is computed or waits; `run` if left out.
        wait_s: Seconds that a batch waits while others are coming.
    """

    def __init__(
        self,
        run: Callable[[Sequence[Item]], Result],
        *,
        run_alone: Callable[[Sequence[Item]], Result] | None = None,
        workers: int,
        size: int,
        wait_s: float,
        coming: Callable[[], int],
        on_batch: Callable[[int], None],
    ) -> None:
        self._run = run
        self._run_alone = run_alone or run
        self._size = size
        self._wait_s = wait_s
        self._coming = coming
        self._on_batch = on_batch
        self._queue: asyncio.Queue[tuple[Item, asyncio.Future[tuple[Result, int]]]] = asyncio.Queue()
        self._threads = ThreadPoolExecutor(workers, "network")
        self._workers = workers
        self._running = 0
        self._tasks: list[asyncio.Task[None]] = []
        self._collecting = asyncio.Lock()

    def start(self) -> None:
        """Start to take items; an event loop must be running."""
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(self._serve()) for _ in range(self._workers)]

    async def stop(self) -> None:
        """Stop taking items."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._threads.shutdown(wait=True)

    async def predict(self, item: Item) -> tuple[Result, int]:
        """Return the result of an item's batch, and its row there."""
        done: asyncio.Future[tuple[Result, int]] = asyncio.get_running_loop().create_future()
        self._queue.put_nowait((item, done))
        return await done

    async def _serve(self) -> None:
        while True:
            async with self._collecting:  # one batch at a time, or two would halve each other
                batch = [await self._queue.get()]
                await self._fill(batch)
            await self._answer([waiting for waiting in batch if not waiting[1].cancelled()])

    async def _fill(self, batch: list[tuple[Item, "asyncio.Future[tuple[Result, int]]"]]) -> None:
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

    async def _answer(self, batch: list[tuple[Item, "asyncio.Future[tuple[Result, int]]"]]) -> None:
        if not batch:
            return
        self._on_batch(len(batch))
        loop, items = asyncio.get_running_loop(), [item for item, _ in batch]
        alone = not self._running and self._queue.empty() and not self._coming()
        self._running += 1
        try:
            run = self._run_alone if alone else self._run
            result = await loop.run_in_executor(self._threads, run, items)
        except Exception as error:  # noqa: BLE001 (every error belongs to those who wait)
            for _, done in batch:
                if not done.done():
                    done.set_exception(error)
            return
        finally:
            self._running -= 1
        for row, (_, done) in enumerate(batch):
            if not done.done():
                done.set_result((result, row))
