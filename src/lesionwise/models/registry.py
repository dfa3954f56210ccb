"""Models by name: our own, those of the notebooks, and `timm:<any>`.

A new model is a function with the arguments of `ModelFactory` in a file of its own, and its line here.
"""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple, Protocol

from lesionwise.errors import RecipeError
from lesionwise.models.backbones import Arguments, TimmFeatures, backbone
from lesionwise.models.layers import layered
from lesionwise.models.network import Network
from lesionwise.models.notebooks import seed_cnn, seed_cnn_256, seed_mlp, seed_vgg16
from lesionwise.models.small import small
from lesionwise.models.weights import FRESH, Statistics

_TIMM: Final = "timm:"


class ModelFactory(Protocol):
    """Makes a network with fresh weights."""

    def __call__(self, *, num_classes: int, image_size: tuple[int, int], drop_rate: float) -> Network:
        """Return the network for images of this height and width."""


class PretrainedFactory(Protocol):
    """Makes a network on features that can be had trained."""

    def __call__(
        self,
        *,
        num_classes: int,
        image_size: tuple[int, int],
        drop_rate: float,
        weights: str = FRESH,
        statistics: Statistics | None = None,
    ) -> Network:
        """Return the network for images of this height and width."""


MODELS: Final[dict[str, ModelFactory]] = {
    "seed-cnn": seed_cnn,
    "seed-cnn-256": seed_cnn_256,
    "seed-mlp": seed_mlp,
    "small": small,
}


PRETRAINED: Final[dict[str, PretrainedFactory]] = {"seed-vgg16": seed_vgg16}


class TimmOptions(NamedTuple):
    """Options that only a network of the timm library has.

    Attributes:
        arguments: Passed to `timm.create_model`.
        layers: Layers whose response over the image takes the place of the last feature map.
        directions: Length of the embedding that is made of these layers.
    """

    arguments: Arguments | None = None
    layers: Sequence[str] = ()
    directions: int = 0


def create_model(
    name: str,
    *,
    num_classes: int,
    image_size: tuple[int, int],
    drop_rate: float,
    weights: str = FRESH,
    statistics: Statistics | None = None,
    options: TimmOptions = TimmOptions(),
) -> Network:
    """Return a network with fresh weights, or with features that somebody trained and a fresh head.

    Args:
        name: One of `MODELS` or `PRETRAINED`, or `timm:` and a name of the timm library.
        image_size: Height and width of the images it will see, in pixels.
        weights: "none", "published", or the path of a safetensors file.

    Raises:
        RecipeError: If there is no model of that name, or no such weights.
    """
    shape: dict[str, Any] = {"num_classes": num_classes, "image_size": image_size, "drop_rate": drop_rate}
    if name.startswith(_TIMM):
        start: dict[str, Any] = {
            "weights": weights,
            "statistics": statistics,
            "arguments": options.arguments,
        }
        if options.layers:
            body = TimmFeatures(name.removeprefix(_TIMM), image_size=image_size, **start)
            return layered(body, options.layers, options.directions, num_classes)
        return backbone(name.removeprefix(_TIMM), **shape, **start)
    if options.arguments or options.layers:
        raise RecipeError(f"model_args and layers go with timm:<name>; {name} takes none.")
    if name in PRETRAINED:
        return PRETRAINED[name](**shape, weights=weights, statistics=statistics)
    if name not in MODELS:
        known = ", ".join([*MODELS, *PRETRAINED])
        raise RecipeError(f'Expected model to be one of {known} or timm:<name> but got "{name}".')
    if weights != FRESH:
        raise RecipeError(
            f"{name} starts from fresh weights, or from those of a run or a bundle: expected weights to be "
            f'"{FRESH}", a run folder or a bundle but got "{weights}".'
        )
    return MODELS[name](**shape)
