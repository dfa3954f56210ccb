"""Networks whose maps are known beforehand."""

import pytest
import torch
from torch import Tensor, nn

from lesionwise.models.network import Network, PooledHead


class RedIsMelanoma(nn.Module):
    """Two channels at one place per 4 pixels: how red the image is there, and how blue."""

    def __init__(self) -> None:
        super().__init__()
        self.colours = nn.Conv2d(3, 2, 4, stride=4, bias=False)
        with torch.no_grad():
            self.colours.weight.zero_()
            self.colours.weight[0, 0] = 1 / 16
            self.colours.weight[1, 2] = 1 / 16

    def forward(self, images: Tensor) -> Tensor:
        colours: Tensor = self.colours(images)
        return colours


@pytest.fixture
def red_is_melanoma() -> Network:
    """A network that says melanoma where it sees red and nevus where it sees blue."""
    network = Network(RedIsMelanoma(), PooledHead(2, 7))
    with torch.no_grad():
        network.head.linear.weight.zero_()
        network.head.linear.bias.zero_()
        network.head.linear.weight[4, 0] = 20
        network.head.linear.weight[5, 1] = 20
    return network.eval()
