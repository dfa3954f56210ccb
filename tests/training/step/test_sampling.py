from itertools import chain

import numpy as np
import pytest

from lesionwise.training.step.sampling import EpochSampler, SharedBatches, own_places

Y = np.repeat([0, 1, 2], [600, 300, 100])


def order(exponent: float, *, seed: int = 0, epoch: int = 0) -> list[int]:
    sampler = EpochSampler(Y, exponent=exponent, seed=seed)
    sampler.set_epoch(epoch)
    return list(sampler)


def test_without_an_exponent_every_image_stands_once_in_the_order() -> None:
    assert sorted(order(0.0)) == list(range(1000))


def test_an_order_depends_on_seed_and_epoch_alone() -> None:
    for exponent in (0.0, 0.5):
        assert order(exponent, seed=1, epoch=2) == order(exponent, seed=1, epoch=2)
        assert order(exponent, seed=1, epoch=2) != order(exponent, seed=1, epoch=3)
        assert order(exponent, seed=1, epoch=2) != order(exponent, seed=2, epoch=2)


def test_exponent_one_draws_all_classes_alike_and_one_half_in_between() -> None:
    def shares(exponent: float) -> np.ndarray:
        drawn = np.concatenate([Y[order(exponent, epoch=epoch)] for epoch in range(50)])
        return np.bincount(drawn) / len(drawn)

    np.testing.assert_allclose(shares(1.0), [1 / 3] * 3, atol=0.01)
    root = np.sqrt([0.6, 0.3, 0.1])
    np.testing.assert_allclose(shares(0.5), root / root.sum(), atol=0.01)


def test_an_epoch_has_as_many_draws_as_images() -> None:
    assert len(EpochSampler(Y, exponent=0.7, seed=0)) == len(order(0.7)) == 1000


@pytest.mark.parametrize("processes", [1, 2, 3, 4])
def test_the_shares_of_a_batch_are_even_and_make_up_the_whole(processes: int) -> None:
    for size in (12, 24):
        shares = [own_places(size, rank, processes) for rank in range(processes)]
        assert {len(share) for share in shares} == {size // processes}
        assert sorted(chain.from_iterable(shares)) == list(range(size))


@pytest.mark.parametrize(("size", "processes"), [(8, 1), (8, 2), (16, 4), (12, 3)])
def test_a_share_mixed_with_itself_in_reverse_order_is_the_share_of_the_mixed_batch(
    size: int, processes: int
) -> None:
    partner = np.arange(size)[::-1]
    for rank in range(processes):
        share = own_places(size, rank, processes)
        assert share[::-1] == partner[share].tolist()


def test_one_process_reads_the_batch_as_it_is() -> None:
    assert own_places(5, 0, 1) == [0, 1, 2, 3, 4]


def test_the_parts_of_a_batch_are_the_batch() -> None:
    def batches(parts: int) -> SharedBatches:
        return SharedBatches(EpochSampler(Y, exponent=0.5, seed=3), 64, parts=parts)

    whole, parted = batches(1), batches(4)
    assert len(parted) == len(list(parted)) == 60
    assert [*chain.from_iterable(parted)] == [*chain.from_iterable(whole)]


def test_what_stands_in_a_batch_does_not_depend_on_the_number_of_processes() -> None:
    def batches(rank: int, processes: int) -> list[list[int]]:
        return list(SharedBatches(EpochSampler(Y, exponent=0.5, seed=3), 64, rank=rank, processes=processes))

    whole = batches(0, 1)
    assert len(whole) == len(SharedBatches(EpochSampler(Y, exponent=0.5, seed=3), 64)) == 15
    shares = [batches(rank, 4) for rank in range(4)]
    for number, batch in enumerate(whole):
        assert sorted(batch) == sorted(chain.from_iterable(share[number] for share in shares))
