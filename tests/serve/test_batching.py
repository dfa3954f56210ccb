import asyncio
import threading
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from lesionwise.bundle.engine import load_model
from lesionwise.serve.batching import Batcher
from lesionwise.serve.service import streams_for

Run = Callable[[Sequence[int]], list[int]]


def batches_of(
    run: Run,
    act: Callable[["Batcher[int, list[int]]"], Awaitable[None]],
    *,
    run_alone: Run | None = None,
    workers: int = 1,
    coming: int = 0,
) -> list[int]:
    """The sizes of the batches that were run while acting."""
    sizes: list[int] = []

    async def session() -> None:
        batcher = Batcher(
            run,
            run_alone=run_alone,
            workers=workers,
            size=4,
            wait_s=0.05,
            coming=lambda: coming,
            on_batch=sizes.append,
        )
        batcher.start()
        try:
            await act(batcher)
        finally:
            await batcher.stop()

    asyncio.run(session())
    return sizes


def doubled(items: Sequence[int]) -> list[int]:
    return [2 * item for item in items]


def test_everybody_gets_the_row_that_is_theirs() -> None:
    async def act(batcher: Batcher[int, list[int]]) -> None:
        found = await asyncio.gather(*(batcher.predict(number) for number in range(10)))
        assert [result[row] for result, row in found] == [2 * number for number in range(10)]

    sizes = batches_of(doubled, act, workers=2, coming=1)
    assert sum(sizes) == 10
    assert max(sizes) == 4


def test_workers_compute_at_the_same_time() -> None:
    both = threading.Barrier(2, timeout=60)

    def meet(items: Sequence[int]) -> list[int]:
        both.wait()
        return list(items)

    async def act(batcher: Batcher[int, list[int]]) -> None:
        first = asyncio.create_task(batcher.predict(1))
        await asyncio.sleep(0.05)  # its batch has left
        await asyncio.gather(first, batcher.predict(2))

    assert batches_of(meet, act, workers=2) == [1, 1]


def test_a_failure_belongs_to_its_batch_alone() -> None:
    def fail_on_one(items: Sequence[int]) -> list[int]:
        if 1 in items:
            raise RuntimeError("one")
        return doubled(items)

    async def act(batcher: Batcher[int, list[int]]) -> None:
        with pytest.raises(RuntimeError, match="one"):
            await batcher.predict(1)
        assert (await batcher.predict(2))[0] == [4]

    batches_of(fail_on_one, act)


def test_a_batch_without_company_is_run_otherwise() -> None:
    alone: list[list[int]] = []
    second_came = threading.Event()

    def together(items: Sequence[int]) -> list[int]:
        second_came.set()
        return list(items)

    def by_itself(items: Sequence[int]) -> list[int]:
        alone.append(list(items))
        assert items[0] != 1 or second_came.wait(60)
        return list(items)

    async def act(batcher: Batcher[int, list[int]]) -> None:
        first = asyncio.create_task(batcher.predict(1))
        await asyncio.sleep(0.05)  # its batch has left, and waits for the second
        await asyncio.gather(first, batcher.predict(2))
        await batcher.predict(3)

    batches_of(together, act, run_alone=by_itself, workers=2)
    assert alone == [[1], [3]]


@pytest.mark.parametrize("coming", [0, 1])
def test_one_of_many_that_wait_has_company(coming: int) -> None:
    alone: list[list[int]] = []

    def by_itself(items: Sequence[int]) -> list[int]:
        alone.append(list(items))
        return list(items)

    async def act(batcher: Batcher[int, list[int]]) -> None:
        await asyncio.gather(*(batcher.predict(number) for number in range(8)))

    assert batches_of(doubled, act, run_alone=by_itself, coming=coming) == [4, 4]
    assert alone == ([] if coming else [[4, 5, 6, 7]])


def test_a_failed_batch_is_no_company_for_the_next() -> None:
    alone: list[int] = []

    def fail(items: Sequence[int]) -> list[int]:
        alone.extend(items)
        raise RuntimeError

    async def act(batcher: Batcher[int, list[int]]) -> None:
        for number in range(2):
            with pytest.raises(RuntimeError):
                await batcher.predict(number)

    batches_of(doubled, act, run_alone=fail)
    assert alone == [0, 1]


def test_streams_are_few_and_answer_as_one_does(bundle_file: Path) -> None:
    assert streams_for(1) == 1
    assert streams_for(64) == 4
    alone, shared = load_model(bundle_file, threads=1), load_model(bundle_file, threads=2, streams=2)
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (3, *alone.description.input.size, 3), np.uint8) for _ in range(8)]
    with ThreadPoolExecutor(2) as threads:
        found = list(threads.map(shared.run, images))
    for pixels, outputs in zip(images, found, strict=True):
        np.testing.assert_allclose(outputs["probabilities"], alone.run(pixels)["probabilities"], atol=1e-6)
