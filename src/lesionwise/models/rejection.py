"""The score of `evaluation.rejection` as a part of a network's graph.

Here: the same sum in PyTorch. Not here: learning it. Letters: K numbers of an embedding.
"""

import torch
from torch import Tensor, nn
from typing_extensions import override

from lesionwise.evaluation.rejection import Rejection


class RejectionScore(nn.Module):
    """From the embedding to how foreign each picture is."""

    middle: Tensor
    direction: Tensor

    def __init__(self, rejection: Rejection) -> None:
        super().__init__()
        self.register_buffer("middle", torch.tensor(rejection.middle, dtype=torch.float32))
        self.register_buffer("direction", torch.tensor(rejection.direction, dtype=torch.float32)[:, None])
        self.offset = rejection.offset

    @override
    def forward(self, embedding: Tensor) -> Tensor:
        """Return the scores (B,) of pictures with these embeddings (B, K)."""
        return ((embedding - self.middle) @ self.direction).squeeze(1) + self.offset
