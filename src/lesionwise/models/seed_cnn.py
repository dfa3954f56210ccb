"""`seed-cnn`: the convolutional network of the Keras notebooks, layer by layer."""

from torch import nn

from lesionwise.models.dropout import Dropout
from lesionwise.models.keras_init import keras_init
from lesionwise.models.network import DenseHead, Network


def seed_cnn(*, num_classes: int, image_size: tuple[int, int], drop_rate: float = 0.5) -> Network:
    """Return the notebooks' network: two blocks of two convolutions, then a dense layer.

    Args:
        image_size: Height and width of its images, in pixels; the dense layer fits no other.
        drop_rate: Dropout before the last layer, .5 in the notebooks.
    """
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
    # The largest of four rectified values is the largest, rectified: a quarter of the work.
    return [first, nn.ReLU(), second, nn.MaxPool2d(2), nn.ReLU()]
