"""EMA: weights averaged over the last steps, which are evaluated and kept instead of the latest.

Here: the averaging rule for Lightning's callback. Not here: when it is applied, which is Lightning's.
"""

from collections.abc import Sequence

import torch
from lightning.pytorch.callbacks import WeightAveraging
from torch import Tensor

_WARM_UP = 10  # steps: with d = (1 + n) / (10 + n) the average covers the last tenth of a young run


def weight_averaging(decay: float) -> WeightAveraging:
    """Return a callback that keeps an exponential moving average of weights and normalisation statistics.

    A plain average of decay .998 still holds a third of its random start after five hundred steps, which is
    the whole of a short training; the decay therefore grows with the steps taken.

    Args:
        decay: Of a long training, in [0, 1).

    References:
        Polyak and Juditsky (1992), https://doi.org/10.1137/0330046
    """

    def average(averaged: Sequence[Tensor], latest: Sequence[Tensor], steps: Tensor | int) -> None:
        taken = int(steps)
        share = 1 - min(decay, (1 + taken) / (_WARM_UP + taken))
        for mean, value in zip(averaged, latest, strict=True):
            if mean.is_floating_point():
                mean.lerp_(value, share)
            else:
                mean.copy_(value)

    return WeightAveraging(use_buffers=True, multi_avg_fn=torch.no_grad()(average))
