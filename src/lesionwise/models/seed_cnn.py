"""`seed-cnn`: the convolutional network of the Keras notebooks, layer by layer."""

from torch import nn

from lesionwise.models.keras_init import keras_init
from lesionwise.models.network import Network


def seed_cnn(*, num_classes: int, image_size: tuple[int, int], drop_rate: float = 0.5) -> Network:
    """Return the notebooks' network: two blocks of two convolutions, then a dense layer.

    Args:
        num_classes: Classes to tell apart.
        image_size: Height and width of its images, in pixels; the dense layer fits no other.
        drop_rate: Dropout before the last layer, .5 in the notebooks.
    """
    height, width = image_size[0] // 4, image_size[1] // 4
    features = nn.Sequential(
        *_convolutions(3, 32), nn.MaxPool2d(2), nn.Dropout(0.25),
        *_convolutions(32, 64), nn.MaxPool2d(2), nn.Dropout(0.4),
    )  # fmt: skip
    head = nn.Sequential(
        nn.Flatten(),
        nn.Linear(64 * height * width, 128),
        nn.ReLU(),
        nn.Dropout(drop_rate),
        nn.Linear(128, num_classes),
    )
    return keras_init(Network(features, head))


def _convolutions(inputs: int, outputs: int) -> list[nn.Module]:
    first = nn.Conv2d(inputs, outputs, 3, padding="same")
    return [first, nn.ReLU(), nn.Conv2d(outputs, outputs, 3, padding="same"), nn.ReLU()]
