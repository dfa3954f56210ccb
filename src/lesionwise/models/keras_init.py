"""Starting weights as Keras draws them, for networks that come from there."""

from typing import TypeVar

from torch import nn

Layers = TypeVar("Layers", bound=nn.Module)


def keras_init(layers: Layers) -> Layers:
    """Draw all weights anew as Keras does (Glorot uniform, zero bias), and return the layers.

    PyTorch's own start has a smaller variance, and trains differently.
    """
    for layer in layers.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.xavier_uniform_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    return layers
