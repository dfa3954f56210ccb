"""The training step: augment, mix, predict, compare; and what is logged of it.

Here: the Lightning module. Not here: the loop around it (`fit`) and what happens to the images (`augment`).
Letters: B batch, C classes, N images of a part.
"""

from time import perf_counter
from typing import Any

import lightning as L
import torch
from torch import Tensor
from torch.nn import functional as F

from lesionwise.errors import RunError
from lesionwise.evaluation.scores import accuracy_score, macro_recall_score
from lesionwise.models.network import Network
from lesionwise.recipe import Recipe
from lesionwise.training.augment import augment, evaluation_view
from lesionwise.training.datamodule import Batch
from lesionwise.training.losses import Loss
from lesionwise.training.mixing import mix
from lesionwise.training.optim import make_optimizer, make_schedule
from lesionwise.training.randomness import seed_dropout


class LesionModule(L.LightningModule):
    """A network in training.

    Args:
        network: From RGB in [0, 1] to logits.
        recipe: How it is trained.
        class_counts: Training images of each class, shape (C,).
        seed: Of augmentation and dropout.

    Attributes:
        augment_seconds: Time spent on changing images so far.
    """

    def __init__(self, network: Network, recipe: Recipe, class_counts: Tensor, *, seed: int) -> None:
        super().__init__()
        self.network = network
        self.recipe = recipe
        self.seed = seed
        self.loss = Loss.of(recipe, class_counts)
        self.augment_seconds = 0.0
        self._losses: list[Tensor] = []
        self._hits: list[Tensor] = []
        self._val_logits: list[Tensor] = []
        self._val_y: list[Tensor] = []

    def on_fit_start(self) -> None:
        """Move the loss to where the network is."""
        self.loss = self.loss.to(self.device)

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Make dropout a function of seed and step, so that a resumed run is the unbroken one."""
        del batch, batch_idx
        seed_dropout((self.seed << 32) + self.global_step, self.device)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the loss of one batch; sums stay on the device until the epoch ends."""
        place = {"seed": self.seed, "epoch": self.current_epoch}
        started = perf_counter()
        images = augment(batch.images, self.recipe, **place, samples=batch.rows)
        targets = F.one_hot(batch.y, len(self.loss.weights)).float()
        images, targets = mix(images, targets, self.recipe, **place, batch=batch_idx)
        self.augment_seconds += perf_counter() - started
        logits = self.network(images)
        loss = self.loss(logits, targets)
        self._losses.append(loss.detach())
        self._hits.append((logits.detach().argmax(1) == batch.y).float().mean())
        return loss

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Keep the logits of one batch for the end of the epoch."""
        del batch_idx
        self._val_logits.append(self.network(evaluation_view(batch.images, self.recipe)).float())
        self._val_y.append(batch.y)

    def on_validation_epoch_end(self) -> None:
        """Log the epoch: means over the steps of training, scores over `val` as a whole.

        Means of scores over batches would depend on the batch size.
        """
        logits, y = torch.cat(self._val_logits), torch.cat(self._val_y)
        if not logits.isfinite().all():
            raise RunError(
                f"Training diverged in epoch {self.current_epoch + 1}. Lower lr, or try another seed."
            )
        truth, prob = y.cpu().numpy(), logits.softmax(1).cpu().numpy()
        self.log("train_loss", torch.stack(self._losses).mean())
        self.log("train_accuracy", torch.stack(self._hits).mean())
        self.log("val_loss", F.cross_entropy(logits, y))
        self.log("val_accuracy", float(accuracy_score(truth, prob)))
        self.log("val_balanced_accuracy", float(macro_recall_score(truth, prob)))
        self.log("lr", self.trainer.optimizers[0].param_groups[0]["lr"])
        for kept in (self._losses, self._hits, self._val_logits, self._val_y):
            kept.clear()

    def configure_optimizers(self) -> Any:  # noqa: ANN401 (Lightning's own type is a union of nine)
        """Return the optimiser and, where the recipe has one, the schedule of its learning rate."""
        optimizer = make_optimizer(self.network, self.recipe)
        schedule = make_schedule(optimizer, self.recipe, steps=int(self.trainer.estimated_stepping_batches))
        return {"optimizer": optimizer, **({"lr_scheduler": schedule} if schedule else {})}
