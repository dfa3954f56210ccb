"""`timm:<any>`: the networks of the timm library as features, with published weights or fresh ones.

Here too: how deep each weight of any network lies, for learning rates that fall with depth. Not here: the
source of weights (`weights`).

References:
    Wightman (2019), PyTorch Image Models, https://doi.org/10.5281/zenodo.4414861 (Apache-2.0)
"""

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, Final, Literal

import torch
from torch import Tensor, nn

from lesionwise.errors import RecipeError
from lesionwise.models.network import Head, Network
from lesionwise.models.weights import (
    FRESH,
    PUBLISHED,
    Statistics,
    WeightsFile,
    explain_unreachable,
    read_weights,
)

Layout = Literal["BDhw", "BhwD", "tokens"]
Arguments = Mapping[str, bool | int | float | str]

_MAP_AXES: Final = 4
_TOKEN_AXES: Final = 3


class TimmFeatures(nn.Module):
    """The features of a timm network as a map (B, D, h, w).

    Attributes:
        num_features: Channels D of the map.
        statistics: Mean and standard deviation in the training of the weights; None for fresh weights.
    """

    def __init__(
        self,
        name: str,
        *,
        image_size: tuple[int, int],
        weights: str = FRESH,
        statistics: Statistics | None = None,
        arguments: Arguments | None = None,
    ) -> None:
        super().__init__()
        self.image_size = image_size
        file = read_weights(weights) if weights not in {FRESH, PUBLISHED} else None
        self.body = _create(name, image_size, published=weights == PUBLISHED, arguments=arguments)
        self.num_features = int(self.body.num_features)
        self.prefix_tokens = int(getattr(self.body, "num_prefix_tokens", 0))
        self.reduction = _reduction(self.body)
        self.layout = self._find_layout(name, image_size)
        _drop_unused(self.body, image_size)
        if file:
            file.verify_complete(self.body)
            self.body = _create(name, image_size, file=file, arguments=arguments)
            _drop_unused(self.body, image_size)
        self.statistics = None if weights == FRESH else statistics or _statistics(self.body, file)

    def under(self, head: Head, features: nn.Module | None = None) -> Network:
        """Return a network of these features, or others made from them, and a head, with their statistics."""
        network = Network(features or self, head)
        if self.statistics:
            network.set_statistics(*(torch.tensor(values) for values in self.statistics))
        return network

    def layer_places(self) -> dict[str, int]:
        """Return the number of the layer of each weight, from the image upwards."""
        from timm.models import group_parameters  # noqa: PLC0415 (seconds, and only for timm's networks)

        return dict(group_parameters(self.body, self.body.group_matcher(coarse=True), reverse=True))

    def forward(self, images: Tensor) -> Tensor:
        """Return the feature map (B, D, h, w) of normalised images (B, 3, H, W)."""
        features: Tensor = self.body.forward_features(images)
        match self.layout:
            case "BDhw":
                return features
            case "BhwD":
                return features.permute(0, 3, 1, 2)
            case "tokens":
                places = features[:, self.prefix_tokens :].transpose(1, 2)
                return places.reshape(*places.shape[:2], *self._grid(images.shape[2], images.shape[3]))

    def _grid(self, height: int, width: int) -> tuple[int, int]:
        return -(-height // self.reduction), -(-width // self.reduction)

    def _find_layout(self, name: str, image_size: tuple[int, int]) -> Layout:
        with torch.inference_mode():
            features = self.body.eval().forward_features(torch.zeros(1, 3, *image_size))
        self.body.train()
        shape = tuple(features.shape) if isinstance(features, Tensor) else ()
        if len(shape) == _MAP_AXES and shape[1] == self.num_features:
            return "BDhw"
        if len(shape) == _MAP_AXES and shape[3] == self.num_features:
            return "BhwD"
        height, width = self._grid(*image_size)
        if len(shape) == _TOKEN_AXES and shape[1] - self.prefix_tokens == height * width:
            return "tokens"
        raise RecipeError(
            f"timm:{name} gives features of shape {shape or type(features).__name__}, which are not a map of "
            f"{height}x{width} places. Choose another network."
        )


def _create(
    name: str,
    image_size: tuple[int, int],
    *,
    published: bool = False,
    file: WeightsFile | None = None,
    arguments: Arguments | None,
) -> Any:  # noqa: ANN401 (timm's networks share methods but no type)
    """Return a timm network without classifier."""
    import timm  # noqa: PLC0415 (seconds, and only for timm's networks)

    if ":" in name or not timm.is_model(name):
        near = get_close_matches(name, timm.list_models(), n=3)
        hint = f" Did you mean {' or '.join(near)}?" if near else ""
        raise RecipeError(f'timm {timm.__version__} has no network "{name}".{hint}')
    options: dict[str, Any] = {"num_classes": 0, **(arguments or {})}
    try:
        described = timm.get_pretrained_cfg(name)
        if described and described.fixed_input_size:
            options = {"img_size": image_size, **options}
        if file:
            options["pretrained_cfg_overlay"] = {"state_dict": dict(file.state)}
        return timm.create_model(name, pretrained=published or file is not None, **options)
    except OSError as error:
        raise RecipeError(explain_unreachable(name, timm.get_pretrained_cfg(name))) from error
    except (RuntimeError, TypeError, ValueError, AssertionError, KeyError) as error:
        raise RecipeError(
            f"timm:{name} cannot be made for images of {image_size} with {dict(arguments or {})}: {error}."
        ) from error


def _reduction(body: Any) -> int:  # noqa: ANN401 (see above)
    """Return the number of pixels along one side of a place of the map."""
    known = getattr(body, "feature_info", None)
    return int(known[-1]["reduction"]) if isinstance(known, list) and known else 1


def _statistics(body: Any, file: WeightsFile | None) -> Statistics:  # noqa: ANN401 (see above)
    described = body.pretrained_cfg
    if not file:
        return described["mean"], described["std"]
    if not file.statistics:
        raise RecipeError(
            f"{file.path}: does not state how images were normalised. Set mean and std. The values of timm's "
            f"own weights for this network are {list(described['mean'])} and {list(described['std'])}."
        )
    return file.statistics


def _drop_unused(body: Any, image_size: tuple[int, int]) -> None:  # noqa: ANN401 (see above)
    """Remove the parts that do not contribute to the features, because no gradient reaches them.

    VGG16 has 119 million weights between its map and its classifier.
    """
    with torch.enable_grad():
        body.eval().forward_features(torch.zeros(1, 3, *image_size)).sum().backward()
    for child, layer in list(body.named_children()):
        weights = list(layer.parameters())
        if weights and all(weight.grad is None for weight in weights):
            setattr(body, child, nn.Identity())
    body.zero_grad(set_to_none=True)
    body.train()


def lowest_layers(network: Network, count: int) -> set[str]:
    """Return the names of the weights in the lowest layers of the features."""
    depths = layer_depths(network)
    deepest = max(depths.values())
    if count >= deepest:
        raise RecipeError(
            f"freeze_layers: expected fewer than the {deepest} layers of the network but got {count}."
        )
    return {name for name, depth in depths.items() if depth > deepest - count}


def layer_depths(network: Network) -> dict[str, int]:
    """Return the depth of each weight by its name: 0 in the head, 1 in the last layer of the features.

    The layers are those of timm for its networks, and otherwise the children of the features.
    """
    features = network.features
    if isinstance(features, TimmFeatures):
        places = {f"body.{name}": place for name, place in features.layer_places().items()}
    else:
        names = [name for name, _ in features.named_parameters()]
        order = list(dict.fromkeys(name.split(".")[0] for name in names))
        places = {name: order.index(name.split(".")[0]) for name in names}
    top = max(places.values(), default=0)
    depths = {f"features.{name}": top - place + 1 for name, place in places.items()}
    return {name: depths.get(name, 0) for name, _ in network.named_parameters()}
