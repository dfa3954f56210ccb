"""Models by name: our own, those of the notebooks, and `timm:<any>`.

To add a model, write a function of `num_classes`, `image_size` and `drop_rate` in its own file, and add its
line here.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

from lesionwise.errors import RecipeError
from lesionwise.models.backbones import Arguments, TimmFeatures
from lesionwise.models.layers import layered
from lesionwise.models.network import Network, PooledHead
from lesionwise.models.notebooks import seed_cnn, seed_cnn_256, seed_mlp, seed_vgg16
from lesionwise.models.small import small
from lesionwise.models.weights import FRESH, Statistics

_TIMM: Final = "timm:"

MODELS: Final[dict[str, Callable[..., Network]]] = {
    "seed-cnn": seed_cnn,
    "seed-cnn-256": seed_cnn_256,
    "seed-mlp": seed_mlp,
    "small": small,
}
PRETRAINED: Final[dict[str, Callable[..., Network]]] = {"seed-vgg16": seed_vgg16}
"""Models with pretrained features; they also take `weights` and `statistics`."""


class TimmOptions(NamedTuple):
    """Options of the networks of timm.

    Attributes:
        arguments: Passed to `timm.create_model`.
        layers: Layers that replace the last feature map.
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
    """Return a network with fresh weights, or with pretrained features and a fresh head.

    Args:
        name: One of `MODELS` or `PRETRAINED`, or `timm:` and a name of the timm library, such as
            "timm:mobilenetv2_100" or "timm:convnext_atto.d2_in1k". Only the features of these are used, under
            our pooled head, so that class activation maps are exact.
        image_size: Height and width of the images in pixels; some transformers fit no others.
        weights: "none", "published", or the path of a safetensors file.
        statistics: Mean and standard deviation of RGB in [0, 1] in the training of a file of weights, if the
            file does not state them.

    Raises:
        RecipeError: If there is no model of that name, an option or the weights cannot be used, or a network
            of timm gives no map.
    """
    shape: dict[str, Any] = {"num_classes": num_classes, "image_size": image_size, "drop_rate": drop_rate}
    start: dict[str, Any] = {"weights": weights, "statistics": statistics}
    if name.startswith(_TIMM):
        timm_name, arguments = name.removeprefix(_TIMM), options.arguments
        features = TimmFeatures(timm_name, image_size=image_size, arguments=arguments, **start)
        if options.layers:
            return layered(features, options.layers, options.directions, num_classes)
        return features.under(PooledHead(features.num_features, num_classes, drop_rate))
    if options.arguments or options.layers:
        raise RecipeError(f"model_args and layers are for timm:<name>; {name} takes none.")
    if name in PRETRAINED:
        return PRETRAINED[name](**shape, **start)
    if name not in MODELS:
        known = ", ".join([*MODELS, *PRETRAINED])
        raise RecipeError(f'Expected model to be one of {known} or timm:<name> but got "{name}".')
    if weights != FRESH:
        raise RecipeError(
            f"{name} starts from fresh weights, or from those of a run or a bundle: expected weights to be "
            f'"{FRESH}", a run folder or a bundle but got "{weights}".'
        )
    return MODELS[name](**shape)
