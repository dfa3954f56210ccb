"""Weights that do not simply follow the gradient: frozen features, and the average over the last steps (EMA).

Here: the Lightning callbacks. Not here: the slower learning of lower layers (`optim`).
"""

from collections.abc import Sequence
from typing import Literal

import lightning as L
import torch
from lightning.pytorch.callbacks import WeightAveraging
from torch import Tensor
from typing_extensions import override

from lesionwise.models.backbones import lowest_layers
from lesionwise.training.step.module import LesionModule

_WARM_UP = 10  # steps: with d = (1 + n) / (10 + n) the average covers the last tenth of a short run


class Freezing(L.Callback):
    """Freezes weights and statistics of the features in the first `epochs`, or in all of them.

    A fresh head sends large, random gradients into trained features and spoils them. Mean and variance of
    batch normalisation would drift even without gradients, so frozen features work as in evaluation.
    """

    def __init__(self, epochs: int | Literal["all"]) -> None:
        self.epochs = epochs

    @override
    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        assert isinstance(pl_module, LesionModule)  # noqa: S101 (for the type checker)
        if self.epochs == "all":  # before several processes agree on the gradients that they add up
            pl_module.network.features.requires_grad_(requires_grad=False)

    @override
    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        assert isinstance(pl_module, LesionModule)  # noqa: S101 (for the type checker)
        held = self.epochs == "all" or trainer.current_epoch < self.epochs
        pl_module.network.features.requires_grad_(not held).train(not held)


class LowestLayers(L.Callback):
    """Freezes weights and normalisation statistics of the lowest layers in every epoch.

    Their knowledge of edges and colours carries over, and no gradient has to reach them.
    """

    def __init__(self, count: int) -> None:
        self.count = count

    @override
    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        assert isinstance(pl_module, LesionModule)  # noqa: S101 (for the type checker)
        held = lowest_layers(pl_module.network, self.count)
        for name, weight in pl_module.network.named_parameters():
            if name in held:
                weight.requires_grad = False
        for place, module in pl_module.network.named_modules():
            own = {f"{place}.{name}" for name, _ in module.named_parameters()}
            if own and own <= held:
                module.eval()


def weight_averaging(decay: float) -> WeightAveraging:
    """Return a callback that keeps an exponential moving average of weights and normalisation statistics.

    After five hundred steps, which may be a whole short training, a plain average with decay .998 still holds
    a third of its random start. So the decay grows with the number of steps, up to `decay`.

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
