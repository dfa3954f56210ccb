"""`seed-mlp`: the "multilayer perceptron" of the Keras notebooks."""

from torch import Tensor, nn

from lesionwise.models.dropout import Dropout
from lesionwise.models.keras_init import keras_init
from lesionwise.models.network import DenseHead, Network


def seed_mlp(*, num_classes: int, image_size: tuple[int, int], drop_rate: float = 0.3) -> Network:
    """Return the notebooks' network.

    Its dense layers meet an image of height, width and channels and so work on the channels of each pixel
    alone; only after flattening does it see where a pixel is.

    Args:
        image_size: Height and width of its images, in pixels; the last layers fit no other.
        drop_rate: Dropout after the first two layers, .3 in the notebooks.
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
