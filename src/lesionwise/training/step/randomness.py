"""Random numbers that are a function of (seed, epoch, sample), not of earlier draws.

With an ordinary generator, a resumed run would differ from an uninterrupted one, and a run on several devices
from one on a single device. Here each number depends only on its place, and a whole batch is computed at
once.
"""

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from lesionwise.arrays import Float32s

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def uniform(seed: int, epoch: int, samples: ArrayLike, count: int) -> Float32s:
    """Return numbers (B, count) in [0, 1) that depend only on seed, epoch and sample.

    References:
        Steele, Lea, Flood (2014), https://doi.org/10.1145/2660193.2660195 (SplitMix64)
    """
    rows = np.asarray(samples, np.uint64)[:, None]
    columns = np.arange(1, count + 1, dtype=np.uint64)[None, :]
    with np.errstate(over="ignore"):  # the overflow is part of the mixing
        start = _mix(_mix(_mix(np.array([seed], np.uint64)) + np.uint64(epoch)) + rows)
        bits = _mix(start + columns * _GOLDEN)
    return ((bits >> np.uint64(40)).astype(np.float32)) / np.float32(1 << 24)


def seed_dropout(seed: int, device: torch.device) -> None:
    """Seed PyTorch's generator of a device.

    `torch.manual_seed` visits all kinds of devices, which takes a hundredth of a small step.
    """
    if device.type == "cpu":
        torch.default_generator.manual_seed(seed)
    else:
        torch.manual_seed(seed)


def _mix(state: NDArray[np.uint64]) -> NDArray[np.uint64]:
    state = state + _GOLDEN
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(state ^ (state >> np.uint64(31)))
