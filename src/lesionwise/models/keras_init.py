"""Starting weights as Keras draws them, for networks that come from there."""

from torch import nn

from lesionwise.models.network import Network


def keras_init(network: Network) -> Network:
    """Draw all weights anew as Keras does (Glorot uniform, zero bias), and return the network.

    PyTorch's own start has a smaller variance, and trains differently.
    """
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.xavier_uniform_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    return network
