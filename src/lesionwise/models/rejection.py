"""The scores of `evaluation.ood` as a part of a network's graph.

Here: the same sums in PyTorch, in operations that every runtime of a bundle has. Not here: learning them.
Letters: B batch, K numbers of a picture, D directions, P prototypes, H W pixels.
"""

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn
from typing_extensions import override

from lesionwise.evaluation.ood import Distance, Rejection
from lesionwise.models.appearance import Appearance


class RejectionScore(nn.Module):
    """From image and embedding to how foreign each picture is.

    Args:
        rejection: As it was learnt.
    """

    def __init__(self, rejection: Rejection) -> None:
        super().__init__()
        self.looks = Appearance()
        self.appearance = DistanceScore(rejection.appearance)
        self.embedding = DistanceScore(rejection.embedding)

    @override
    def forward(self, images: Tensor, embedding: Tensor) -> Tensor:
        """Return the scores (B,) of RGB, shape (B, H, W, 3), uint8, with their embeddings (B, K)."""
        return torch.maximum(self.embedding(embedding), self.appearance(self.looks(images)))


class DistanceScore(nn.Module):
    """From the numbers of pictures to one distance each.

    Args:
        distance: As it was learnt.
    """

    middle: Tensor
    per_below: Tensor
    per_above: Tensor
    directions: Tensor
    prototypes: Tensor
    squares: Tensor
    origin: Tensor

    def __init__(self, distance: Distance) -> None:
        super().__init__()
        space = distance.space
        # Distances do not change when all is moved together, and lose fewest digits about zero.
        origin = distance.prototypes.mean(axis=0)
        self.register_buffer("middle", _buffer(space.middle))
        self.register_buffer("per_below", _buffer(1 / space.below))
        self.register_buffer("per_above", _buffer(1 / space.above))
        self.register_buffer("directions", _buffer(space.directions))
        self.register_buffer("origin", _buffer(origin))
        self.register_buffer("prototypes", _buffer((distance.prototypes - origin).T.copy()))
        self.register_buffer("squares", _buffer(((distance.prototypes - origin) ** 2).sum(1)))
        self.nearest, self.typical, self.unit = distance.nearest, distance.typical, distance.unit

    @override
    def forward(self, numbers: Tensor) -> Tensor:
        """Return the scores (B,) of pictures with these numbers (B, K)."""
        off = numbers - self.middle
        scaled = off.clamp_min(0) * self.per_above + off.clamp_max(0) * self.per_below
        z = scaled @ self.directions - self.origin
        square = (z * z).sum(1, keepdim=True) + self.squares - 2 * (z @ self.prototypes)
        least = square.clamp_min(0).topk(self.nearest, dim=1, largest=False).values
        return (least.mean(1).sqrt() - self.typical) / self.unit


def _buffer(values: ArrayLike) -> Tensor:
    return torch.tensor(np.asarray(values), dtype=torch.float32)
