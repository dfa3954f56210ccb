"""The training step: augment, mix, predict, compare, and log.

Here: the Lightning module, and the one that trains only the last layer on known embeddings. Not here: the
loop around it (`fit`), changing the images (`augment`) and keeping embeddings (`features`).
"""

from collections.abc import Callable
from time import perf_counter
from typing import Any

import lightning as L
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from typing_extensions import override

from lesionwise.arrays import Float32s
from lesionwise.errors import RunError
from lesionwise.evaluation.scores.decision import accuracy_score, macro_recall_score
from lesionwise.models.network import Network
from lesionwise.recipe import Recipe
from lesionwise.training.step.augment import augment, evaluation_view
from lesionwise.training.step.datamodule import Batch
from lesionwise.training.step.losses import Loss, consistency_loss
from lesionwise.training.step.mixing import drop_metadata, mix
from lesionwise.training.step.optim import make_optimizer, make_schedule
from lesionwise.training.step.randomness import seed_dropout

Forward = Callable[[Tensor, Tensor | None], Tensor]


class LesionModule(L.LightningModule):
    """A network in training.

    Attributes:
        augment_seconds: Total time of changing images.
    """

    metadata: Tensor | None

    def __init__(
        self,
        network: Network,
        recipe: Recipe,
        class_counts: Tensor,
        *,
        seed: int,
        metadata: Float32s | None = None,
    ) -> None:
        super().__init__()
        known = None if metadata is None else torch.from_numpy(metadata)
        self.register_buffer("metadata", known, persistent=False)
        self.network = network
        self.answer: Forward = torch.compile(network.forward) if recipe.compile else network.forward
        self.recipe = recipe
        self.seed = seed
        self.loss = Loss(recipe, class_counts)
        self.augment_seconds = 0.0
        self._losses: list[Tensor] = []
        self._hits: list[Tensor] = []
        self._trained: dict[str, Tensor | float] = {}
        self._val_logits: list[Tensor] = []
        self._val_y: list[Tensor] = []

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the number format, so that a resumed training computes as before."""
        checkpoint["precision"] = {self.device.type: str(self.trainer.precision)}

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Make dropout a function of seed, step, part and process, so that a resumed run is the same."""
        del batch
        part = self.global_step * self.recipe.accumulate + batch_idx % self.recipe.accumulate
        place = part * self.trainer.world_size + self.global_rank
        seed_dropout((self.seed << 32) + place, self.device)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the loss of one batch; sums stay on the device until the epoch ends."""
        targets = F.one_hot(batch.y, len(self.loss.weights)).float()
        started = perf_counter()
        seen, targets = self.changed(batch, targets, batch_idx)
        self.augment_seconds += perf_counter() - started
        metadata = None
        if self.metadata is not None:
            dropout = self.recipe.metadata_dropout
            metadata = drop_metadata(self.metadata, dropout, **self._place, samples=batch.rows)
            metadata = metadata.repeat(self.recipe.views, 1)
        logits = self.answer(seen, metadata)
        loss: Tensor = self.loss(logits, targets)
        if self.recipe.consistency:
            by_view = logits.reshape(self.recipe.views, -1, logits.shape[1])
            loss = loss + self.recipe.consistency * consistency_loss(by_view)
        self._losses.append(loss.detach())
        self._hits.append((logits.detach().argmax(1) == batch.y.repeat(self.recipe.views)).float().mean())
        return loss

    def changed(self, batch: Batch, targets: Tensor, batch_idx: int) -> tuple[Tensor, Tensor]:
        """Return the input of the network in training, one view after the other, and the targets."""
        views = [
            augment(batch.images, self.recipe, **self._place, samples=batch.rows, view=view)
            for view in range(self.recipe.views)
        ]
        if len(views) > 1:
            seen = torch.cat(views).contiguous(memory_format=torch.channels_last)
            return seen, targets.repeat(len(views), 1)
        return mix(views[0], targets, self.recipe, **self._place, batch=batch_idx)

    @property
    def _place(self) -> dict[str, int]:
        """What determines the changes of an epoch, beside the sample."""
        return {"seed": self.seed, "epoch": self.current_epoch}

    def on_train_batch_end(self, outputs: object, batch: Batch, batch_idx: int) -> None:
        """After the last step, average over all steps, and share batch statistics between the processes."""
        del outputs, batch, batch_idx
        if self.trainer.is_last_batch:
            self._average_statistics()
            loss = torch.stack(self._losses).mean()
            self._verify_finite(loss)
            self._trained = {
                "train_loss": loss,
                "train_accuracy": torch.stack(self._hits).mean(),
                "lr": self.trainer.optimizers[0].param_groups[0]["lr"],
            }
            self._losses.clear()
            self._hits.clear()
            if self.recipe.train_on_val:  # otherwise they are logged with the scores on val
                self.log_dict(self._trained, on_step=False, on_epoch=True, batch_size=1, sync_dist=True)

    def on_validation_epoch_start(self) -> None:
        """Share the statistics of averaged weights, which the network has by now, between the processes."""
        self._average_statistics()

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Keep the logits of one batch for the end of the epoch."""
        del batch_idx
        metadata = None if self.metadata is None else self.metadata[torch.as_tensor(batch.rows)]
        self._val_logits.append(self.looked_at(batch, metadata).float())
        self._val_y.append(batch.y)

    def looked_at(self, batch: Batch, metadata: Tensor | None) -> Tensor:
        """Return the logits (B, C) of a batch in evaluation."""
        logits: Tensor = self.network(evaluation_view(batch.images, self.recipe), metadata)
        return logits

    def on_validation_epoch_end(self) -> None:
        """Log the epoch: means over the training steps, and scores over all of `val`.

        Means of scores over batches would depend on the batch size.
        """
        logits, y = (self._whole_val(torch.cat(parts)) for parts in (self._val_logits, self._val_y))
        self._verify_finite(logits)
        scores = {**self._trained, **scores_of("val", logits, y)}
        self.log_dict(scores, sync_dist=True)  # means over the processes, so that all choose the same epoch
        self._val_logits.clear()
        self._val_y.clear()

    def configure_optimizers(self) -> Any:  # noqa: ANN401 (Lightning's own type is a union of nine)
        """Return the optimiser and, if the recipe has one, the schedule of its learning rate."""
        optimizer = make_optimizer(self.network, self.recipe)
        schedule = make_schedule(optimizer, self.recipe, steps=int(self.trainer.estimated_stepping_batches))
        return {"optimizer": optimizer, **({"lr_scheduler": schedule} if schedule else {})}

    def _verify_finite(self, values: Tensor) -> None:
        if not values.isfinite().all() and self.trainer.is_global_zero:  # the others end with the first one
            raise RunError(
                f"Training diverged in epoch {self.current_epoch + 1}. Lower lr, or try another seed."
            )

    def _whole_val(self, own: Tensor) -> Tensor:
        """Return values for all of `val` in its order, of which each process has every n-th."""
        if self.trainer.world_size == 1:
            return own
        count = int(self.trainer.strategy.reduce(torch.tensor(len(own), device=self.device), reduce_op="sum"))
        filled = own.new_zeros(-(-count // self.trainer.world_size), *own.shape[1:])
        filled[: len(own)] = own
        shares = [torch.empty_like(filled) for _ in range(self.trainer.world_size)]
        torch.distributed.all_gather(shares, filled)
        return torch.stack(shares, 1).flatten(0, 1)[:count]

    def _average_statistics(self) -> None:
        """Share batch statistics between the processes, except those of frozen layers.

        These are equal in all processes, and rounding could change their mean.
        """
        if self.trainer.world_size > 1:
            for layer in self.network.modules():
                for name, buffer in layer.named_buffers(recurse=False):
                    if name in {"running_mean", "running_var"} and not _is_held(layer):
                        buffer.copy_(self.trainer.strategy.reduce(buffer, reduce_op="mean"))


def scores_of(part: str, logits: Tensor, y: Tensor) -> dict[str, float]:
    """Return the scores of logits (N, C) for a part of the split, as columns of the history."""
    truth, prob = y.cpu().numpy(), logits.softmax(1).cpu().numpy()
    return {
        f"{part}_loss": float(F.cross_entropy(logits, y)),
        f"{part}_accuracy": float(accuracy_score(truth, prob)),
        f"{part}_balanced_accuracy": float(macro_recall_score(truth, prob)),
    }


def _is_held(layer: nn.Module) -> bool:
    own = [*layer.parameters(recurse=False)]
    return bool(own) and not any(weight.requires_grad for weight in own)


class LastLayerModule(LesionModule):
    """A network with known embeddings: its batches contain them, shape (B, D), instead of images."""

    def __init__(self, *arguments: Any, **options: Any) -> None:  # noqa: ANN401 (as the network's own)
        super().__init__(*arguments, **options)
        self.answer = self.network.of_embedding  # too small to be worth compiling

    @override
    def changed(self, batch: Batch, targets: Tensor, batch_idx: int) -> tuple[Tensor, Tensor]:
        return batch.images, targets

    @override
    def looked_at(self, batch: Batch, metadata: Tensor | None) -> Tensor:
        return self.network.of_embedding(batch.images, metadata)
