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

Run = Callable[[Sequence[int], bool], list[int]]


def batches_of(
    run: Run,
    act: Callable[["Batcher[int, list[int]]"], Awaitable[None]],
    *,
    workers: int = 1,
    coming: int = 0,
) -> list[int]:
    """The sizes of the batches that were run while acting."""
    sizes: list[int] = []

    async def session() -> None:
        batcher = Batcher(
            run, workers=workers, size=4, wait_s=0.05, coming=lambda: coming, on_batch=sizes.append
        )
        batcher.start()
        try:
            await act(batcher)
        finally:
            await batcher.stop()

    asyncio.run(session())
    return sizes


def doubled(items: Sequence[int], alone: bool = False) -> list[int]:  # noqa: ARG001, FBT001, FBT002
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

    def meet(items: Sequence[int], alone: bool) -> list[int]:  # noqa: ARG001, FBT001
        both.wait()
        return list(items)

    async def act(batcher: Batcher[int, list[int]]) -> None:
        first = asyncio.create_task(batcher.predict(1))
        await asyncio.sleep(0.05)  # its batch has left
        await asyncio.gather(first, batcher.predict(2))

    assert batches_of(meet, act, workers=2) == [1, 1]


def test_a_failure_belongs_to_its_batch_alone() -> None:
    def fail_on_one(items: Sequence[int], alone: bool) -> list[int]:  # noqa: ARG001, FBT001
        if 1 in items:
            raise RuntimeError("one")
        return doubled(items)

    async def act(batcher: Batcher[int, list[int]]) -> None:
        with pytest.raises(RuntimeError, match="one"):
            await batcher.predict(1)
        assert (await batcher.predict(2))[0] == [4]

    batches_of(fail_on_one, act)


def test_only_a_batch_that_has_no_company_is_told_that_it_is_alone() -> None:
    said, second_came = {}, threading.Event()

    def listen(items: Sequence[int], alone: bool) -> list[int]:  # noqa: FBT001
        said[items[0]] = alone
        if items[0] == 1:
            assert second_came.wait(60)
        second_came.set()
        return list(items)

    async def act(batcher: Batcher[int, list[int]]) -> None:
        first = asyncio.create_task(batcher.predict(1))
        await asyncio.sleep(0.05)  # its batch has left, and waits for the second
        await asyncio.gather(first, batcher.predict(2))
        await batcher.predict(3)

    batches_of(listen, act, workers=2)
    assert said == {1: True, 2: False, 3: True}
    batches_of(listen, lambda batcher: batcher.predict(4), coming=1)
    assert not said[4]


def test_a_failed_batch_leaves_the_next_alone() -> None:
    said = []

    def fail_first(items: Sequence[int], alone: bool) -> list[int]:  # noqa: FBT001
        said.append(alone)
        if items[0] == 1:
            raise RuntimeError
        return list(items)

    async def act(batcher: Batcher[int, list[int]]) -> None:
        with pytest.raises(RuntimeError):
            await batcher.predict(1)
        await batcher.predict(2)

    batches_of(fail_first, act)
    assert said == [True, True]


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
