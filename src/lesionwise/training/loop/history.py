"""Reports of a training: a row of `history.csv` for each epoch, progress, and where the time goes."""

import math
from pathlib import Path
from time import perf_counter

import lightning as L
import pandas as pd
from typing_extensions import override

from lesionwise.files import write_text
from lesionwise.progress import SILENT, Progress
from lesionwise.training.step.datamodule import Batch
from lesionwise.training.step.module import LesionModule

COLUMNS = (
    *("epoch", "train_loss", "train_accuracy", "val_loss", "val_accuracy", "val_balanced_accuracy"),
    *("lr", "seconds", "images_per_second"),
)


class History(L.Callback):
    """Writes a row for each finished epoch, and reports it, and before that the progress in images.

    Args:
        path: The CSV; it keeps the rows of earlier epochs, so that a resumed run has one history.
    """

    def __init__(self, path: Path, progress: Progress = SILENT) -> None:
        self.path = path
        self.progress = progress
        self._started = 0.0
        self._trained = 0.0
        self._batch_size = 0
        self._images = 0  # of an epoch

    def add(self, row: dict[str, float]) -> None:
        """Write and report a row; a column that it lacks is empty, as without scores on val."""
        row = {column: row.get(column, math.nan) for column in COLUMNS}
        rows = pd.DataFrame([row])
        if self.path.exists():
            earlier = pd.read_csv(self.path)
            rows = pd.concat([earlier[earlier["epoch"] < row["epoch"]], rows])
        write_text(self.path, rows.to_csv(index=False, float_format="%.6g", lineterminator="\n"))
        self.progress.on_epoch(row)

    @override
    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.progress.on_training(int(trainer.max_epochs or 0))

    @override
    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        assert trainer.train_dataloader is not None  # noqa: S101 (for the type checker)
        self._batch_size = trainer.train_dataloader.batch_sampler.batch_size
        self._images = int(trainer.num_training_batches) * self._batch_size
        self._started = perf_counter()

    @override
    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: object, batch: object, batch_idx: int
    ) -> None:
        self._trained = perf_counter()
        self.progress.on_step(trainer.current_epoch, (batch_idx + 1) * self._batch_size, self._images)

    @override
    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.add(
            {
                **{name: float(value) for name, value in trainer.callback_metrics.items()},
                "epoch": trainer.current_epoch,
                "seconds": perf_counter() - self._started,
                "images_per_second": self._images / (self._trained - self._started),
            }
        )


class StepClock(L.Callback):
    """Adds up the seconds of each part of all training steps.

    A GPU works while Python continues, so a part includes the waiting that falls into it. The sum is right on
    any device.

    Attributes:
        seconds: Seconds by part: load, augment, forward and backward, optimizer step, and work done once.
        precision: Number format of the training.
    """

    def __init__(self) -> None:
        self.seconds = {"load": 0.0, "augment": 0.0, "forward and backward": 0.0, "optimizer step": 0.0}
        self.images = 0
        self.precision = "fp32"
        self._mark = 0.0

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
    def on_after_backward(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._lap("forward and backward")

    @override
    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: object, batch: Batch, batch_idx: int
    ) -> None:
        self._lap("optimizer step")
        self.images += len(batch.rows) * trainer.world_size

    @override
    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        assert isinstance(pl_module, LesionModule)  # noqa: S101 (for the type checker)
        self.seconds["augment"] = pl_module.augment_seconds  # which is a part of the forward step
        self.seconds["forward and backward"] -= pl_module.augment_seconds
