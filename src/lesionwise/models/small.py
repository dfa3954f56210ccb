"""`small`: a compact residual network with squeeze and excitation, trained from scratch.

Dense 3x3 convolutions with channels in multiples of 32, because those are what a CPU's bf16 units do well:
per second of training it learns more than depthwise designs of equal size.
"""

from torch import Tensor, nn
from torch.nn import functional as F

from lesionwise.models.network import Network, PooledHead


def small(*, num_classes: int, image_size: tuple[int, int], drop_rate: float = 0.0) -> Network:
    """Return the network; it takes images of any size.

    Args:
        num_classes: Classes to tell apart.
        image_size: Height and width of its images; not used.
        drop_rate: Dropout on the pooled features.
    """
    del image_size
    widths = ((32, 32), (32, 64), (64, 128), (128, 192))
    features = nn.Sequential(
        _normed(3, 32, 3, stride=2), nn.ReLU(), *(Block(*pair, stride=2) for pair in widths)
    )
    network = Network(features, PooledHead(widths[-1][1], num_classes, drop_rate))
    network.apply(_he_init)
    return network


class Block(nn.Module):
    """Two 3x3 convolutions and a channel gate beside a shortcut.

    References:
        He et al. (2016), https://doi.org/10.1109/CVPR.2016.90
        Hu et al. (2018), https://doi.org/10.1109/CVPR.2018.00745
        He, T. et al. (2019), https://doi.org/10.1109/CVPR.2019.00065 (the pooled shortcut)
    """

    def __init__(self, inputs: int, outputs: int, *, stride: int = 1) -> None:
        super().__init__()
        self.first = _normed(inputs, outputs, 3, stride=stride)
        self.second = _normed(outputs, outputs, 3)
        self.gate = nn.Sequential(
            nn.Conv2d(outputs, outputs // 4, 1), nn.ReLU(), nn.Conv2d(outputs // 4, outputs, 1), nn.Sigmoid()
        )
        pool = nn.AvgPool2d(stride, ceil_mode=True) if stride > 1 else nn.Identity()
        self.shortcut = nn.Sequential(pool, _normed(inputs, outputs, 1))
        nn.init.zeros_(self.second.get_parameter("1.weight"))  # starts as its shortcut; Goyal et al. (2017)

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output (B, outputs, h, w)."""
        deep: Tensor = self.second(F.relu(self.first(x)))
        return F.relu(deep * self.gate(deep.mean((2, 3), keepdim=True)) + self.shortcut(x))


def _normed(inputs: int, outputs: int, kernel: int, *, stride: int = 1) -> nn.Sequential:
    convolution = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs))


def _he_init(layer: nn.Module) -> None:
    if isinstance(layer, nn.Conv2d):
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
