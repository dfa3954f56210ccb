"""Freezing: features that stay as they are while a fresh head learns.

Here: the Lightning callback. Not here: how much slower features learn once they do (`optim`).
"""

from typing import Literal

import lightning as L
from typing_extensions import override

from lesionwise.training.module import LesionModule


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
    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        assert isinstance(pl_module, LesionModule)  # noqa: S101 (for the type checker)
        held = self.epochs == "all" or trainer.current_epoch < self.epochs
        pl_module.network.features.requires_grad_(not held).train(not held)
