"""Training the last layer alone, by gradient, on embeddings that are known.

Here: the training step that takes a kept embedding for the image. Not here: when that can be done and keeping
them (`features`), and fitting a last layer at once (`probe`).
Letters: B batch, D features, C classes.
"""

from typing import Any

from torch import Tensor
from typing_extensions import override

from lesionwise.training.step.datamodule import Batch
from lesionwise.training.step.module import LesionModule


class LastLayerModule(LesionModule):
    """A network whose embeddings are known: its batches hold them, shape (B, D), instead of images."""

    def __init__(self, *arguments: Any, **options: Any) -> None:  # noqa: ANN401 (as the network's own)
        super().__init__(*arguments, **options)
        self.answer = self.network.of_embedding  # nothing in it is worth compiling

    @override
    def changed(self, batch: Batch, targets: Tensor, batch_idx: int) -> tuple[Tensor, Tensor]:
        return batch.images, targets

    @override
    def looked_at(self, batch: Batch, told: Tensor | None) -> Tensor:
        return self.network.of_embedding(batch.images, told)
