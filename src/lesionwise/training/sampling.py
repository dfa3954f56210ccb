"""The order of an epoch: which images, how often, a function of seed and epoch alone.

Here: the sampler. Not here: weighing classes in the loss (`losses`).
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Sampler


class EpochSampler(Sampler[int]):
    """Positions of the training images in a fresh order for each epoch.

    With exponent 0 each stands in it once. Otherwise as many are drawn with replacement, a class the more
    often the rarer it is.

    Args:
        y: Class index of each training image, shape (N,).
        exponent: Of the inverse class frequency; 1 draws all classes alike.
        seed: Of the run.
    """

    def __init__(self, y: NDArray[np.int64], *, exponent: float, seed: int) -> None:
        self.count = len(y)
        self.seed = seed
        self.epoch = 0
        weights = (1 / np.bincount(y).clip(1)[y]) ** exponent
        self.probabilities = weights / weights.sum() if exponent else None

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch; Lightning calls this before each."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[int]:
        rng = np.random.default_rng([self.seed, self.epoch])
        if self.probabilities is None:
            return iter(rng.permutation(self.count).tolist())
        return iter(rng.choice(self.count, self.count, p=self.probabilities).tolist())

    def __len__(self) -> int:
        return self.count
