"""`small`: a compact residual network with squeeze and excitation, trained from scratch.

Dense 3x3 convolutions with channels in multiples of 32 suit the bf16 units of a CPU. In the same training
time it learns more than depthwise designs of equal size.
"""

from torch import Tensor, nn
from torch.nn import functional as F

from lesionwise.models.network import Network, PooledHead


def small(*, num_classes: int, image_size: tuple[int, int], drop_rate: float = 0.0) -> Network:
    """Return the network; it takes images of any size and has one feature place per 16 pixels."""
    del image_size
    features = nn.Sequential(
        *(_normed(3, 32, 3, stride=2), nn.ReLU()),
        Block(32, 32, stride=2),
        *(Block(32, 64, stride=2), Block(64, 64)),
        *(Block(64, 128, stride=2), Block(128, 128)),
        Block(128, 256, neck=128),
    )
    for layer in features.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    return Network(features, PooledHead(256, num_classes, drop_rate))


class Block(nn.Module):
    """Convolutions and a channel gate beside a shortcut.

    Args:
        stride: Stride of the block; with a stride, the shortcut averages.
        neck: Channels of a 1x1, 3x3, 1x1 bottleneck; left out, the block is two 3x3 convolutions.

    References:
        He et al. (2016), https://doi.org/10.1109/CVPR.2016.90
        Hu et al. (2018), https://doi.org/10.1109/CVPR.2018.00745
        He, T. et al. (2019), https://doi.org/10.1109/CVPR.2019.00065 (the pooled shortcut)
    """

    def __init__(self, inputs: int, outputs: int, *, stride: int = 1, neck: int | None = None) -> None:
        super().__init__()
        if neck:
            deep = [_normed(inputs, neck, 1), nn.ReLU(), _normed(neck, neck, 3, stride=stride), nn.ReLU()]
            last = _normed(neck, outputs, 1)
        else:
            deep = [_normed(inputs, outputs, 3, stride=stride), nn.ReLU()]
            last = _normed(outputs, outputs, 3)
        nn.init.zeros_(last.get_parameter("1.weight"))  # at first only the shortcut; Goyal et al. (2017)
        self.deep = nn.Sequential(*deep, last)
        squeezed = outputs // 4
        self.gate = nn.Sequential(
            nn.Conv2d(outputs, squeezed, 1), nn.ReLU(), nn.Conv2d(squeezed, outputs, 1), nn.Sigmoid()
        )
        # Without padding, `count_include_pad` changes nothing here. ONNX Runtime 1.22 and OpenCV 5.0 would
        # count places beyond an odd edge.
        pool = [nn.AvgPool2d(stride, ceil_mode=True, count_include_pad=False)] if stride > 1 else []
        project = [_normed(inputs, outputs, 1)] if pool or inputs != outputs else []
        self.shortcut = nn.Sequential(*pool, *project)

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output (B, outputs, h, w)."""
        deep: Tensor = self.deep(x)
        return F.relu(deep * self.gate(deep.mean((2, 3), keepdim=True)) + self.shortcut(x))


def _normed(inputs: int, outputs: int, kernel: int, *, stride: int = 1) -> nn.Sequential:
    convolution = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs))
