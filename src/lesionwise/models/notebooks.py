"""The networks of the Keras notebooks, layer by layer: `seed-mlp`, `seed-cnn`, `seed-cnn-256`, `seed-vgg16`.

Each fits only images of its `image_size`, because its dense layer sees every place.
"""

from typing import Final, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from typing_extensions import override

from lesionwise.models.backbones import TimmFeatures
from lesionwise.models.network import DenseHead, Network
from lesionwise.models.weights import FRESH, Statistics

Layers = TypeVar("Layers", bound=nn.Module)
_REDUCTION: Final = 32  # five poolings of VGG16
_LEVELS: Final = 1 << 16  # 16 random bits decide about one value of dropout
_PER_DRAW: Final = 4  # so many values share one 64-bit number


def seed_mlp(*, num_classes: int, image_size: tuple[int, int], drop_rate: float = 0.3) -> Network:
    """Return the notebooks' network.

    Its dense layers get images of height, width and channels, and so work on the channels of single pixels.
    Only after flattening does it see positions. Dropout follows the first two layers.
    """
    features = nn.Sequential(
        ChannelsLast(),
        *(nn.Linear(3, 256), nn.ReLU(), Dropout(drop_rate)),
        *(nn.Linear(256, 128), nn.ReLU(), Dropout(drop_rate)),
        *(nn.Linear(128, 64), nn.ReLU()),
    )
    pixels = image_size[0] * image_size[1]
    dense = nn.Sequential(nn.Flatten(), nn.Linear(64 * pixels, 32), nn.ReLU())
    return keras_init(Network(features, DenseHead(dense, 32, num_classes)))


class ChannelsLast(nn.Module):
    """Turns (B, C, H, W) into (B, H, W, C), where a linear layer works on channels."""

    def forward(self, images: Tensor) -> Tensor:
        """Return the images with their channels last."""
        return images.permute(0, 2, 3, 1)


def seed_cnn(*, num_classes: int, image_size: tuple[int, int], drop_rate: float = 0.5) -> Network:
    """Return the notebooks' network: two blocks of two convolutions, a dense layer, then dropout."""
    height, width = image_size[0] // 4, image_size[1] // 4
    features = nn.Sequential(
        *_convolutions(3, 32), Dropout(0.25),
        *_convolutions(32, 64), Dropout(0.4),
    )  # fmt: skip
    dense = nn.Sequential(nn.Flatten(), nn.Linear(64 * height * width, 128), nn.ReLU())
    return keras_init(Network(features, DenseHead(dense, 128, num_classes, drop_rate)))


def _convolutions(inputs: int, outputs: int) -> list[nn.Module]:
    first = nn.Conv2d(inputs, outputs, 3, padding="same")
    second = nn.Conv2d(outputs, outputs, 3, padding="same")
    # The maximum of four rectified values is the rectified maximum, at a quarter of the work.
    return [first, nn.ReLU(), second, nn.MaxPool2d(2), nn.ReLU()]


def seed_cnn_256(*, num_classes: int, image_size: tuple[int, int], drop_rate: float = 0.3) -> Network:
    """Return the notebooks' network: 256, 128 and 64 filters, each pooled and dropped out.

    Convolutions are unpadded and the layer of 32 is linear, as in the notebooks.
    """
    layers: list[nn.Module] = []
    height, width = image_size
    for inputs, outputs in ((3, 256), (256, 128), (128, 64)):
        layers += [nn.Conv2d(inputs, outputs, 3), nn.MaxPool2d(2), nn.ReLU(), Dropout(drop_rate)]
        height, width = (height - 2) // 2, (width - 2) // 2
    dense = nn.Sequential(nn.Flatten(), nn.Linear(64 * height * width, 32))
    return keras_init(Network(nn.Sequential(*layers), DenseHead(dense, 32, num_classes)))


def seed_vgg16(
    *,
    num_classes: int,
    image_size: tuple[int, int],
    drop_rate: float = 0.0,
    weights: str = FRESH,
    statistics: Statistics | None = None,
) -> Network:
    """Return the convolutions of VGG16, flattened, and one dense layer.

    The notebooks freeze the convolutions (`freeze = "all"`) and use the normalisation of Keras' weights. Here
    it is that of the given weights.

    Args:
        weights: "none", "published", or the path of a safetensors file of timm's vgg16.

    References:
        Simonyan and Zisserman (2015), https://arxiv.org/abs/1409.1556
    """
    features = TimmFeatures("vgg16", image_size=image_size, weights=weights, statistics=statistics)
    places = (image_size[0] // _REDUCTION) * (image_size[1] // _REDUCTION)
    head = DenseHead(nn.Flatten(), features.num_features * places, num_classes, drop_rate)
    return features.under(keras_init(head))


class Dropout(nn.Dropout):
    """`torch.nn.Dropout` with random numbers that cost a quarter on a CPU.

    PyTorch draws one number after another, on one core, for every value. Here one 64-bit number decides about
    four values; the rate is exact to 1/65,536. On other devices, and in evaluation, it is `torch.nn.Dropout`.
    """

    @override
    def forward(self, input: Tensor) -> Tensor:
        """Return the values, each zero with probability `p`, and the others scaled to keep the mean."""
        dense = input.is_contiguous() or input.is_contiguous(memory_format=torch.channels_last)
        if not self.training or not self.p or input.device.type != "cpu" or not dense:
            return F.dropout(input, self.p, self.training)
        draws = torch.empty(-(-input.numel() // _PER_DRAW), dtype=torch.int64).random_(-(2**63), None)
        bits = draws.view(torch.int16)[: input.numel()].as_strided(input.shape, input.stride())
        kept = bits >= round(self.p * _LEVELS) - _LEVELS // 2
        return input * kept.to(input.dtype).mul_(1 / (1 - self.p))


def keras_init(layers: Layers) -> Layers:
    """Draw all weights again as Keras does (Glorot uniform, zero bias), and return the layers.

    PyTorch's default has a smaller variance, and trains differently.
    """
    for layer in layers.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.xavier_uniform_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    return layers
