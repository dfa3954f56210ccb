"""Models by name.

A new model is a function with the arguments of `ModelFactory` in a file of its own, and its line here.
"""

from typing import Final, Protocol

from lesionwise.errors import RecipeError
from lesionwise.models.network import Network
from lesionwise.models.seed_cnn import seed_cnn
from lesionwise.models.seed_cnn_256 import seed_cnn_256
from lesionwise.models.seed_mlp import seed_mlp
from lesionwise.models.small import small


class ModelFactory(Protocol):
    """Makes a network with fresh weights."""

    def __call__(self, *, num_classes: int, image_size: tuple[int, int], drop_rate: float) -> Network:
        """Return the network for images of this height and width."""


MODELS: Final[dict[str, ModelFactory]] = {
    "seed-cnn": seed_cnn,
    "seed-cnn-256": seed_cnn_256,
    "seed-mlp": seed_mlp,
    "small": small,
}


def create_model(name: str, *, num_classes: int, image_size: tuple[int, int], drop_rate: float) -> Network:
    """Return a network with fresh weights.

    Args:
        name: One of `MODELS`.
        num_classes: Classes to tell apart.
        image_size: Height and width of the images it will see, in pixels.
        drop_rate: Dropout before the last layer.

    Raises:
        RecipeError: If there is no model of that name.
    """
    if name not in MODELS:
        raise RecipeError(f'Expected model to be one of {", ".join(MODELS)} but got "{name}".')
    return MODELS[name](num_classes=num_classes, image_size=image_size, drop_rate=drop_rate)
