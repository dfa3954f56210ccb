"""`seed-cnn-256`: the small-image convolutional network of the Keras notebooks."""

from torch import nn

from lesionwise.models.dropout import Dropout
from lesionwise.models.keras_init import keras_init
from lesionwise.models.network import DenseHead, Network


def seed_cnn_256(*, num_classes: int, image_size: tuple[int, int], drop_rate: float = 0.3) -> Network:
    """Return the notebooks' network: 256, 128 and 64 filters, each pooled and dropped out.

    Convolutions are unpadded and the layer of 32 is linear, as in the notebooks.

    Args:
        image_size: Height and width of its images, in pixels; the dense layer fits no other.
        drop_rate: Dropout after each pooling, .3 in the notebooks.
    """
    layers: list[nn.Module] = []
    height, width = image_size
    for inputs, outputs in ((3, 256), (256, 128), (128, 64)):
        layers += [nn.Conv2d(inputs, outputs, 3), nn.MaxPool2d(2), nn.ReLU(), Dropout(drop_rate)]
        height, width = (height - 2) // 2, (width - 2) // 2
    dense = nn.Sequential(nn.Flatten(), nn.Linear(64 * height * width, 32))
    return keras_init(Network(nn.Sequential(*layers), DenseHead(dense, 32, num_classes)))
