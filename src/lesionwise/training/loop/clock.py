"""Where the time of training goes, and how far it is.

Here: two Lightning callbacks that only look. Not here: what is learned (`history`).
"""

from time import perf_counter

import lightning as L
from typing_extensions import override

from lesionwise.progress import Progress
from lesionwise.training.step.datamodule import Batch
from lesionwise.training.step.module import LesionModule


class StepClock(L.Callback):
    """Adds up the seconds of each part of all training steps.

    Read `seconds` when training is over. A GPU works while Python goes on, so there a part is charged with
    the waiting that falls into it; the sum is right on any device.

    Attributes:
        seconds: By part: load, augment, forward and backward, optimizer step; what happens once besides.
        images: Images that were trained on.
    """

    def __init__(self) -> None:
        self.seconds = {"load": 0.0, "augment": 0.0, "forward and backward": 0.0, "optimizer step": 0.0}
        self.images = 0
        self._mark = 0.0
        self._augmented = 0.0

    def _lap(self, part: str) -> None:
        now = perf_counter()
        self.seconds[part] += now - self._mark
        self._mark = now

    @override
    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._mark = perf_counter()

    @override
    def on_train_batch_start(self, trainer: L.Trainer, pl_module: L.LightningModule, *rest: object) -> None:
        self._lap("load")

    @override
    def on_before_optimizer_step(
        self, trainer: L.Trainer, pl_module: L.LightningModule, *rest: object
    ) -> None:
        self._lap("forward and backward")
        assert isinstance(pl_module, LesionModule)  # noqa: S101 (for the type checker)
        augmented = pl_module.augment_seconds - self._augmented
        self._augmented = pl_module.augment_seconds
        self.seconds["augment"] += augmented
        self.seconds["forward and backward"] -= augmented

    @override
    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: object, batch: Batch, batch_idx: int
    ) -> None:
        self._lap("optimizer step")
        self.images += len(batch.rows) * trainer.world_size


class StepProgress(L.Callback):
    """Reports how many images of the epoch are done.

    Args:
        progress: Receives the reports.
    """

    def __init__(self, progress: Progress) -> None:
        self.progress = progress

    @override
    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: object, batch: object, batch_idx: int
    ) -> None:
        assert trainer.train_dataloader is not None  # noqa: S101 (for the type checker)
        size = trainer.train_dataloader.batch_sampler.batch_size
        total = int(trainer.num_training_batches) * size
        self.progress.on_step(trainer.current_epoch, (batch_idx + 1) * size, total)
