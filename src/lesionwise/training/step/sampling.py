"""The order of an epoch, a function of seed and epoch: which images, and how often.

Not here: class weights in the loss (`losses`).
"""

from collections.abc import Iterator
from itertools import islice

import numpy as np
from torch.utils.data import BatchSampler, Sampler

from lesionwise.arrays import Integers


class EpochSampler(Sampler[int]):
    """Positions of the training images in a new order for each epoch.

    With exponent 0 each is there once. Otherwise as many are drawn with replacement, rare classes more often.

    Args:
        exponent: Exponent of the inverse class frequency; 1 draws all classes equally often.
    """

    def __init__(self, y: Integers, *, exponent: float, seed: int) -> None:
        self.count = len(y)
        self.seed = seed
        self.epoch = 0
        weights = (1 / np.bincount(y).clip(1)[y]) ** exponent
        self.probabilities = weights / weights.sum() if exponent else None

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch; Lightning calls this before each one."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[int]:
        rng = np.random.default_rng([self.seed, self.epoch])
        if self.probabilities is None:
            return iter(rng.permutation(self.count).tolist())
        return iter(rng.choice(self.count, self.count, p=self.probabilities).tolist())

    def __len__(self) -> int:
        return self.count


class SharedBatches(BatchSampler):
    """The batches of an epoch, of which each process reads its share.

    The content of a batch does not depend on the number of processes. Images that fill no batch are left out,
    unless there are no others.

    Args:
        batch_size: Number of images in a step of all processes together.
        parts: Number of equal parts into which the batch of a step is divided.
    """

    def __init__(
        self, sampler: EpochSampler, batch_size: int, *, parts: int = 1, rank: int = 0, processes: int = 1
    ) -> None:
        super().__init__(sampler, batch_size // parts, drop_last=len(sampler) >= batch_size)
        self.parts = parts
        self.rank = rank
        self.processes = processes

    def __iter__(self) -> Iterator[list[int]]:
        for batch in islice(super().__iter__(), len(self)):
            yield [batch[place] for place in own_places(len(batch), self.rank, self.processes)]

    def __len__(self) -> int:
        parts = super().__len__()
        return parts - parts % self.parts if self.drop_last else parts


def own_places(size: int, rank: int, processes: int) -> list[int]:
    """Return the places of a batch that a process reads, in order.

    A batch is mixed with its reverse (see `mixing`), so both places of such a pair go to the same process if
    the shares are even.

    Args:
        size: Size of the batch, a multiple of `processes`.

    Example:
        >>> own_places(8, 0, 2), own_places(8, 1, 2)
        ([0, 1, 6, 7], [2, 3, 4, 5])
    """
    pairs = [place for low in range(-(-size // 2)) for place in dict.fromkeys((low, size - 1 - low))]
    own = size // processes
    return sorted(pairs[rank * own : (rank + 1) * own])
