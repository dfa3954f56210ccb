"""`history.csv`: one row per epoch, written as the epochs end.

Here: the Lightning callback. Not here: what is measured (`module`) and drawing it.
"""

import math
from pathlib import Path
from time import perf_counter

import lightning as L
import pandas as pd
from typing_extensions import override

from lesionwise.files import write_text
from lesionwise.progress import SILENT, Progress

COLUMNS = (
    "epoch",
    "train_loss",
    "train_accuracy",
    "val_loss",
    "val_accuracy",
    "val_balanced_accuracy",
    "lr",
    "seconds",
    "images_per_second",
)


class History(L.Callback):
    """Writes the row of each finished epoch, and reports it.

    Args:
        path: The CSV; rows of earlier epochs in it are kept, so that a resumed run has one history.
        progress: Receives each row.
    """

    def __init__(self, path: Path, progress: Progress = SILENT) -> None:
        self.path = path
        self.progress = progress
        self._started = 0.0
        self._trained = 0.0

    @override
    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._started = perf_counter()

    @override
    def on_train_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, *rest: object) -> None:
        self._trained = perf_counter()

    @override
    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if not trainer.is_global_zero:
            return
        metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
        assert trainer.train_dataloader is not None  # noqa: S101 (for the type checker)
        images = int(trainer.num_training_batches) * trainer.train_dataloader.batch_sampler.batch_size
        row = {
            **metrics,
            "epoch": trainer.current_epoch,
            "seconds": perf_counter() - self._started,
            "images_per_second": images / (self._trained - self._started),
        }
        self._write({column: row.get(column, math.nan) for column in COLUMNS})  # no val, no scores on it

    def _write(self, row: dict[str, float]) -> None:
        rows = pd.DataFrame([row])
        if self.path.exists():
            earlier = pd.read_csv(self.path)
            rows = pd.concat([earlier[earlier["epoch"] < row["epoch"]], rows])
        write_text(self.path, rows.to_csv(index=False, float_format="%.6g", lineterminator="\n"))
        self.progress.on_epoch(row)
