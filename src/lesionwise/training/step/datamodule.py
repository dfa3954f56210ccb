"""Batches: whole rows of the memory map.

Not here: their order (`sampling`), and changing the images (`augment`), which happens on the device.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, cast

import lightning as L
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from lesionwise.arrays import Float32s, Integers, Pixels
from lesionwise.data.cache import release_pages
from lesionwise.errors import RunError
from lesionwise.recipe import Recipe
from lesionwise.training.step.sampling import EpochSampler, SharedBatches
from lesionwise.wording import counted


class Batch(NamedTuple):
    """Images of one step.

    Attributes:
        images: RGB, shape (B, H, W, 3), uint8; or embeddings, shape (B, D), if only the last layer learns.
        y: Class index of each, shape (B,).
        rows: Row number of each in the table, shape (B,); stays on the CPU, where random numbers are made.
    """

    images: Tensor
    y: Tensor
    rows: Integers


class ImageRows(Dataset[Batch]):
    """Some rows of an image cache, read a batch at a time.

    Args:
        pixels: All images, shape (N, H, W, 3), uint8, or their embeddings, shape (N, D); memory-mapped, or
            already on the device.
    """

    def __init__(
        self,
        pixels: Pixels | Float32s | Tensor,
        y: Integers,
        rows: Integers,
    ) -> None:
        self.pixels = pixels
        self.y = y
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitems__(self, positions: Sequence[int]) -> Batch:
        """Return the images at these positions of the part as one batch."""
        rows = self.rows[np.asarray(positions)]
        if isinstance(self.pixels, Tensor):
            images = self.pixels[torch.from_numpy(rows).to(self.pixels.device)]
        else:
            images = torch.from_numpy(self.pixels[rows])
            release_pages(self.pixels)
        return Batch(images, torch.from_numpy(self.y[rows]), rows)


class ImageDataModule(L.LightningDataModule):
    """The train and val parts of one run.

    Args:
        val: Images that choose the epoch and the learning rate, if there are any.

    Raises:
        RunError: If there are too few images for all processes.
    """

    def __init__(
        self,
        train: ImageRows,
        val: ImageRows | None,
        recipe: Recipe,
        *,
        seed: int,
        rank: int = 0,
        processes: int = 1,
    ) -> None:
        super().__init__()
        watched = len(val) if val else processes
        if processes > 1 and (len(train) < recipe.batch_size or watched < processes):
            raise RunError(
                f"{counted(processes, 'process shares', 'processes share')} a batch_size of "
                f"{recipe.batch_size}, but train has {counted(len(train), 'image')} and val {watched}. "
                "Lower batch_size, or train with fewer --devices."
            )
        if recipe.accumulate > 1 and len(train) < recipe.batch_size:
            raise RunError(
                f"accumulate = {recipe.accumulate} divides batches of {recipe.batch_size} images, but train "
                f"has {counted(len(train), 'image')}. Set accumulate to 1 or lower batch_size."
            )
        self.train = train
        self.val = val
        self.batch_size = recipe.batch_size
        self.own_val = range(rank, len(val) if val else 0, processes)
        sampler = EpochSampler(train.y[train.rows], exponent=recipe.sampling, seed=seed)
        self.batches = SharedBatches(
            sampler, recipe.batch_size, parts=recipe.accumulate, rank=rank, processes=processes
        )

    def train_dataloader(self) -> DataLoader[Batch]:
        """Return shuffled batches; images that fill no batch are left out until another epoch."""
        return DataLoader(self.train, batch_sampler=self.batches, collate_fn=_as_is)

    def val_dataloader(self) -> DataLoader[Batch] | list[None]:
        """Return batches in the order of the table, every n-th image for each process; none without `val`."""
        if self.val is None:
            return []
        return DataLoader(self.val, self.batch_size, sampler=self.own_val, collate_fn=_as_is)

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        """Move pixels and classes, but not the row numbers."""
        del dataloader_idx
        images, y = (part.to(device, non_blocking=True) for part in (batch.images, batch.y))
        return Batch(images, y, batch.rows)


def channel_statistics(pixels: Pixels, rows: Integers) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation of each channel over some rows, in [0, 1], each of shape (3,).

    Args:
        rows: Only those of train, because the statistics would carry other images into the model.
    """
    counts = np.zeros((3, 256))
    for row in rows:
        thinned = pixels[row, ::4, ::4].reshape(-1, 3)  # one pixel in sixteen: the third digit stays
        counts += [np.bincount(channel, minlength=256) for channel in thinned.T]
    weights, values = counts / counts.sum(axis=1, keepdims=True), np.arange(256) / 255
    mean = weights @ values
    std = np.sqrt(weights @ values**2 - mean**2)
    return torch.from_numpy(mean).float(), torch.from_numpy(std).float()


def _as_is(batch: Any) -> Batch:  # noqa: ANN401 (a loader expects a list, ours has a batch)
    return cast("Batch", batch)
