"""What every network of the package is made of.

Here: the common shape. Not here: architectures (one file each) and their names (`registry`).
Letters: B batch, C classes, D features, H W pixels, h w places of the feature map.
"""

import torch
from torch import Tensor, nn


class Network(nn.Module):
    """Normalisation, features and head: from RGB in [0, 1] to logits.

    The statistics are part of the network, so that whoever has the weights cannot normalise wrongly.

    Args:
        features: From normalised images (B, 3, H, W) to a feature map (B, D, h, w).
        head: From the feature map to logits (B, C).
    """

    mean: Tensor
    std: Tensor

    def __init__(self, features: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.features = features
        self.head = head
        self.register_buffer("mean", torch.zeros(3, 1, 1))
        self.register_buffer("std", torch.ones(3, 1, 1))

    def set_statistics(self, mean: Tensor, std: Tensor) -> None:
        """Normalise with these channel statistics of RGB in [0, 1], each of shape (3,)."""
        self.mean.copy_(mean.view(3, 1, 1))
        self.std.copy_(std.view(3, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (B, C) of RGB images in [0, 1], shape (B, 3, H, W)."""
        logits: Tensor = self.head(self.features((images - self.mean) / self.std))
        return logits


class PooledHead(nn.Module):
    """Average over all places, then one linear layer, so that class activation maps are exact.

    Args:
        num_features: Channels of the feature map.
        num_classes: Classes to tell apart.
        drop_rate: Dropout on the pooled features.

    References:
        Zhou et al. (2016), https://doi.org/10.1109/CVPR.2016.319
    """

    def __init__(self, num_features: int, num_classes: int, drop_rate: float = 0.0) -> None:
        super().__init__()
        self.drop = nn.Dropout(drop_rate)
        self.linear = nn.Linear(num_features, num_classes)

    def forward(self, features: Tensor) -> Tensor:
        """Return logits (B, C) of a feature map (B, D, h, w)."""
        logits: Tensor = self.linear(self.drop(features.mean((2, 3))))
        return logits
