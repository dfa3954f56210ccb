"""The depth of each weight below the head, for learning rates that fall with depth."""

from lesionwise.errors import RecipeError
from lesionwise.models.backbones import TimmFeatures
from lesionwise.models.network import Network


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
