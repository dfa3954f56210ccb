"""The common parts of all networks of the package, and test-time views.

A dermatoscopic image has no up and no left, so its mirror images show the same lesion. Not here:
architectures (one file each) and their names (`registry`).
"""

from typing import Final, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from typing_extensions import override


class View(NamedTuple):
    """One of the eight orientations of a square.

    Attributes:
        transposed: Whether height and width are exchanged first.
        mirrored: Axes of (B, C, H, W) that are reversed.
    """

    transposed: bool
    mirrored: tuple[int, ...]


_MIRRORS: Final = ((), (3,), (2,), (2, 3))
VIEWS: Final[dict[int, tuple[View, ...]]] = {
    count: tuple(View(transposed, axes) for transposed in (False, True) for axes in _MIRRORS)[:count]
    for count in (1, 2, 4, 8)
}
"""The views by their number: the image; with its mirror image; with the half turns of both; all turns."""


def turn(images: Tensor, view: View) -> Tensor:
    """Return images (B, C, H, W) as a view shows them."""
    laid = images.transpose(2, 3) if view.transposed else images
    return laid.flip(view.mirrored) if view.mirrored else laid


def turn_back(maps: Tensor, view: View) -> Tensor:
    """Return maps (B, C, H, W) of a view in the frame of the image."""
    laid = maps.flip(view.mirrored) if view.mirrored else maps
    return laid.transpose(2, 3) if view.transposed else laid


class Outputs(NamedTuple):
    """The outputs of a network for some images.

    Attributes:
        logits: Raw class scores, shape (B, C).
        embedding: Input of the last layer, shape (B, D).
        cam: What each place adds to each logit, shape (B, C, h, w); its mean over places is the logit without
            metadata. None if the head does not pool, so that no such map is exact.
    """

    logits: Tensor
    embedding: Tensor
    cam: Tensor | None


class Head(nn.Module):
    """From a feature map to logits: one linear layer on an embedding."""

    def __init__(self, num_features: int, num_classes: int, drop_rate: float = 0.0) -> None:
        super().__init__()
        self.drop = nn.Dropout(drop_rate)
        self.linear = nn.Linear(num_features, num_classes)

    def embed(self, features: Tensor) -> Tensor:
        """Return the embedding (B, D) of the network's features."""
        raise NotImplementedError

    def cam(self, features: Tensor) -> Tensor | None:  # noqa: ARG002 (a head that does not pool has no map)
        """Return the exact class activation maps (B, C, h, w); None if there are none."""
        return None

    def forward(self, features: Tensor) -> Tensor:
        """Return logits (B, C) of the network's features."""
        logits: Tensor = self.linear(self.drop(self.embed(features)))
        return logits


class MetadataTerm(nn.Module):
    """A small network beside the image's, whose output is added to the logits.

    Because it is added, the class activation maps of the image remain exact. No layer has a bias and unknown
    values are zero, so that nothing is added without metadata.

    Args:
        hidden: Number of hidden units; 0 makes the term linear.
    """

    def __init__(self, numbers: int, num_classes: int, *, hidden: int = 32) -> None:
        super().__init__()
        self.numbers = numbers
        self.deep = nn.Sequential(nn.Linear(numbers, hidden, bias=False), nn.ReLU()) if hidden else None
        self.linear = nn.Linear(hidden or numbers, num_classes, bias=False)
        nn.init.zeros_(self.linear.weight)  # training starts from the image alone

    @override
    def forward(self, metadata: Tensor) -> Tensor:
        """Return the addition to the logits, shape (B, C), for encoded metadata (B, M)."""
        added: Tensor = self.linear(self.deep(metadata) if self.deep else metadata)
        return added


class Network(nn.Module):
    """Normalisation, features and head: from RGB in [0, 1] to logits.

    The statistics are part of the network, so that everybody normalises correctly.

    Args:
        features: Layers from normalised images (B, 3, H, W) to a feature map (B, D, h, w).
        head: Layers from the feature map to logits (B, C).

    Attributes:
        views: Number of averaged views of each image, a key of `VIEWS`; 8 only for square images.
        metadata: The term for metadata; None for a model that takes only images.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, features: nn.Module, head: Head) -> None:
        super().__init__()
        self.features = features
        self.head = head
        self.views = 1
        self.metadata: MetadataTerm | None = None
        self.register_buffer("mean", torch.zeros(3, 1, 1))
        self.register_buffer("std", torch.ones(3, 1, 1))

    def set_statistics(self, mean: Tensor, std: Tensor) -> None:
        """Normalise with these channel statistics of RGB in [0, 1], each of shape (3,)."""
        self.mean.copy_(mean.view(3, 1, 1))
        self.std.copy_(std.view(3, 1, 1))

    def forward(self, images: Tensor, metadata: Tensor | None = None) -> Tensor:
        """Return logits (B, C) of RGB images in [0, 1], shape (B, 3, H, W), and encoded metadata (B, M)."""
        if self.views > 1:
            return self.outputs(images, metadata).logits
        logits: Tensor = self.head(self._features(images))
        return self.with_metadata(logits, metadata)

    def outputs(self, images: Tensor, metadata: Tensor | None = None) -> Outputs:
        """Return logits, embedding and, if exact, class activation maps of RGB images in [0, 1].

        Embeddings and logits of several views are averaged, and so are their maps in the frame of the image.
        """
        views = VIEWS[self.views]
        seen = images if len(views) == 1 else torch.cat([turn(images, view) for view in views])
        features = self._features(seen)
        embedding = self.head.embed(features)
        if len(views) > 1:
            embedding = embedding.reshape(len(views), -1, embedding.shape[1]).mean(0)
        cam = self.head.cam(features)
        if cam is not None and len(views) > 1:
            maps = cam.reshape(len(views), -1, *cam.shape[1:])
            cam = torch.stack([turn_back(maps[k], view) for k, view in enumerate(views)]).mean(0)
        return Outputs(self.of_embedding(embedding, metadata), embedding, cam)

    def of_embedding(self, embedding: Tensor, metadata: Tensor | None = None) -> Tensor:
        """Return the logits (B, C) of embeddings (B, D) with the addition for encoded metadata (B, M)."""
        logits: Tensor = self.head.linear(self.head.drop(embedding))
        return self.with_metadata(logits, metadata)

    def with_metadata(self, logits: Tensor, metadata: Tensor | None) -> Tensor:
        """Return the logits (B, C) of images with the addition for encoded metadata (B, M)."""
        if metadata is None:
            return logits
        if self.metadata is None:
            raise ValueError("Expected no metadata because this is a model of images alone.")
        added: Tensor = self.metadata(metadata)
        return logits + added

    def _features(self, images: Tensor) -> Tensor:
        features: Tensor = self.features((images - self.mean) / self.std)
        return features


class PooledHead(Head):
    """Average over all places, then one linear layer, so that class activation maps are exact.

    References:
        Zhou et al. (2016), https://doi.org/10.1109/CVPR.2016.319
    """

    @override
    def embed(self, features: Tensor) -> Tensor:
        return features.mean((2, 3))

    @override
    def cam(self, features: Tensor) -> Tensor:
        return F.conv2d(features, self.linear.weight[:, :, None, None], self.linear.bias)


class DenseHead(Head):
    """Layers of any kind from the features to the embedding (B, D), then one linear layer."""

    def __init__(
        self, layers: nn.Module, num_features: int, num_classes: int, drop_rate: float = 0.0
    ) -> None:
        super().__init__(num_features, num_classes, drop_rate)
        self.layers = layers

    @override
    def embed(self, features: Tensor) -> Tensor:
        embedding: Tensor = self.layers(features)
        return embedding
