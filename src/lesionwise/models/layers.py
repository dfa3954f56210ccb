"""Many layers of one network as features: mean and spread of each channel of each layer over the whole image.

The last layer recognises objects; earlier layers represent colour and texture. Here: these features and their
main directions. Not here: finding the directions (`probe`). Letters: K directions, h w places of a layer.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from typing_extensions import override

from lesionwise.errors import RecipeError
from lesionwise.models.backbones import TimmFeatures
from lesionwise.models.network import DenseHead, Network
from lesionwise.wording import shortened

_TINY = 1e-8  # under the root, for a channel that is the same everywhere


def layered(body: TimmFeatures, layers: Sequence[str], directions: int, num_classes: int) -> Network:
    """Return a network whose embedding is the main directions of several layers of a timm network.

    A spread is not a mean over places, so such a network has no exact class activation map.

    Args:
        layers: Names of its modules whose outputs are maps (B, C, h, w).

    Raises:
        RecipeError: If there is no such module, or its output is not a map.
    """
    features = LayerFeatures(body, layers)
    head = DenseHead(Directions(features.num_features, directions), directions, num_classes)
    return body.under(head, features)


class LayerFeatures(nn.Module):
    """Mean and standard deviation over all places of the channels of some layers.

    Attributes:
        num_features: Number D of features.
    """

    def __init__(self, body: TimmFeatures, layers: Sequence[str]) -> None:
        super().__init__()
        from timm.models import create_feature_extractor  # noqa: PLC0415 (seconds)

        known = dict(body.body.named_modules())
        if unknown := [name for name in layers if not name or name not in known]:
            some = [name for name in known if name]
            raise RecipeError(f'The network has no layer "{unknown[0]}". It has {shortened(some, 8)}.')
        self.layers = tuple(layers)
        self.body = create_feature_extractor(body.body, {name: name for name in layers})
        self.num_features = self._count(body.image_size)

    @override
    def forward(self, images: Tensor) -> Tensor:
        """Return the features (B, D) of normalised images (B, 3, H, W)."""
        maps = self.body(images)
        found = []
        for name in self.layers:
            mean = maps[name].mean((2, 3))
            spread = (maps[name] - mean[:, :, None, None]).square().mean((2, 3))
            found += [mean, (spread + _TINY).sqrt()]
        return torch.cat(found, dim=1)

    def _count(self, image_size: tuple[int, int]) -> int:
        with torch.inference_mode():
            try:
                features = self.eval()(torch.zeros(1, 3, *image_size))
            except (IndexError, AttributeError, TypeError) as error:
                raise RecipeError(
                    f"Expected layers with maps (B, C, h, w) but one of {', '.join(self.layers)} gives none."
                ) from error
        return int(features.shape[1])


class Directions(nn.Module):
    """From features to their main directions: a fixed shift and rotation."""

    middle: Tensor
    turn: Tensor

    def __init__(self, num_features: int, count: int) -> None:
        super().__init__()
        self.register_buffer("middle", torch.zeros(num_features))
        self.register_buffer("turn", torch.zeros(count, num_features))

    @override
    def forward(self, features: Tensor) -> Tensor:
        """Return the directions (B, K) of features (B, D)."""
        return (features - self.middle) @ self.turn.T
