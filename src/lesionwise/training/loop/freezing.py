"""Freezing: features that stay as they are, all of them while a fresh head learns, or the lowest for good.

Here: the Lightning callbacks. Not here: how much slower features learn once they do (`optim`).
"""

from typing import Literal

import lightning as L
from typing_extensions import override

from lesionwise.models.depth import lowest_layers
from lesionwise.training.step.module import LesionModule


class Freezing(L.Callback):
    """Holds weights and normalisation statistics of the features still.

    A fresh head sends large, random gradients into trained features and spoils them. The mean and variance of
    batch normalisation would drift without any gradient, so the frozen features work as in evaluation.

    Args:
        epochs: First epochs in which they are held, or "all".
    """

    def __init__(self, epochs: int | Literal["all"]) -> None:
        self.epochs = epochs

    @override
    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        assert isinstance(pl_module, LesionModule)  # noqa: S101 (for the type checker)
        if self.epochs == "all":  # known before several processes agree on the gradients that they add up
            pl_module.network.features.requires_grad_(requires_grad=False)

    @override
    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        assert isinstance(pl_module, LesionModule)  # noqa: S101 (for the type checker)
        held = self.epochs == "all" or trainer.current_epoch < self.epochs
        pl_module.network.features.requires_grad_(not held).train(not held)


class LowestLayers(L.Callback):
    """Holds weights and normalisation statistics of the lowest layers still in every epoch.

    What they know, edges and colours, carries over; and no gradient needs to come down to them.

    Args:
        count: How many of them.
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
