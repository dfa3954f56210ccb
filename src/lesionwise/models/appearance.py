"""What a picture looks like at large, in some sixty numbers: colour, contrast, sharpness, layout.

A network that was taught lesions alone looks past much of what tells a photograph from a dermatoscopic image:
whether it has colour, how sharp it is, whether its middle differs from its rim. These numbers say so for any
network. Here: the numbers, in operations that every runtime of a bundle has. Not here: what is usual for them
(`evaluation.ood`).
Letters: B batch, K numbers, H W pixels.
"""

import math
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from typing_extensions import override

_FLOOR: Final = 0.05  # added before the logarithm: black corners and clipped shadows stay finite
_OPPONENT: Final = ((1 / 3, 1 / 3, 1 / 3), (1.0, -1.0, 0.0), (0.5, 0.5, -1.0))
"""Lightness, red against green, yellow against blue."""
_ONE: Final = [0, 1, 2, 0, 0, 1]
_OTHER: Final = [0, 1, 2, 1, 2, 2]
"""Of which two channels each second moment is: first the three variances, then the three covariances."""
_USUAL: Final = math.log(0.5 + _FLOOR)  # a middling grey is zero in the table, and sums lose few digits
_LEVELS: Final = 5
_SMALLEST_SIDE: Final = 6  # pixels of the coarsest level
_STEP: Final = torch.tensor([-1.0, 1.0])
_TINY: Final = 1e-6  # of a squared step, where nothing changes at all
_SPARSE_FLOOR: Final = 0.05


class Appearance(nn.Module):
    """From RGB, shape (B, H, W, 3), uint8, to its numbers (B, K).

    All are taken from the logarithm of the pixels, in which another exposure or light is a mere shift. They
    are: mean, spread and correlations of lightness, red-green and yellow-blue; how far the middle differs
    from the whole; at each of up to five halvings of the resolution the size of the steps between
    neighbours, how much their direction matters, how sparse they are; and how these sizes fall from level to
    level, which is what blur and noise change first.

    A table, convolutions, norms and one matrix product, because runtimes work these out without writing a
    picture down for each step of the sum, as they do for logarithms, slices, differences and products.
    """

    logarithms: Tensor
    usual: Tensor
    opponent: Tensor
    across: Tensor
    down: Tensor

    def __init__(self) -> None:
        super().__init__()
        each = torch.eye(len(_OPPONENT))[:, :, None, None]
        opponent = torch.tensor(_OPPONENT)
        self.register_buffer("logarithms", (torch.arange(256) / 255 + _FLOOR).log() - _USUAL)
        self.register_buffer("usual", _USUAL * opponent.sum(1))
        self.register_buffer("opponent", opponent[:, :, None, None])
        self.register_buffer("across", each * _STEP[None, :])
        self.register_buffer("down", each * _STEP[:, None])

    @override
    def forward(self, images: Tensor) -> Tensor:
        x = F.conv2d(self._look_up(images.permute(0, 3, 1, 2)), self.opponent)
        mean = x.mean((2, 3))
        spread, correlation = _colours(x, mean)
        numbers = [mean + self.usual, spread.log(), correlation, _middle(x) - mean]
        sizes: list[Tensor] = []
        while len(sizes) < _LEVELS and min(x.shape[2:]) >= _SMALLEST_SIDE:
            size, direction, sparseness = _steps(F.conv2d(x, self.across), F.conv2d(x, self.down))
            sizes.append(size)
            numbers += [size, direction, sparseness]
            x = F.avg_pool2d(x, 2)
        for apart in (1, 2):
            numbers += [fine - coarse for fine, coarse in zip(sizes, sizes[apart:], strict=False)]
        return torch.cat(numbers, dim=1)

    def _look_up(self, values: Tensor) -> Tensor:
        # A Gather in the bundle, which OpenVINO does fast; `take` and indexing become a GatherND, slow there.
        return self.logarithms.index_select(0, values.flatten().int()).reshape(values.shape)


def _colours(x: Tensor, mean: Tensor) -> tuple[Tensor, Tensor]:
    """Return spreads and correlations of the three channels, each (B, 3)."""
    pixels = x.flatten(2)
    products = (pixels @ pixels.mT)[:, _ONE, _OTHER]
    second = products / pixels.shape[2] - mean[:, _ONE] * mean[:, _OTHER]
    spread = (second[:, :3].clamp_min(0) + 10 * _TINY).sqrt()
    # Of a picture of one colour only rounding is left, which no correlation may grow from.
    correlation = second[:, 3:] / (spread[:, _ONE[3:]] * spread[:, _OTHER[3:]])
    return spread, correlation.clamp(-1, 1)


def _middle(x: Tensor) -> Tensor:
    """Return the means of the middle quarter of the area, shape (B, 3)."""
    height, width = x.shape[2:]
    top, left = height // 4, width // 4
    return x[:, :, top : height - top, left : width - left].mean((2, 3))


def _steps(across: Tensor, down: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return size (B, 3), direction (B, 1) and sparseness (B, 1) of the steps to the right and down."""
    (size_across, mean_across), (size_down, mean_down) = _norms(across), _norms(down)
    size = (size_across + size_down + _TINY).log() / 2
    direction = ((size_across[:, :1] + _TINY) / (size_down[:, :1] + _TINY)).log().abs()
    root = (size_across[:, :1] + size_down[:, :1] + _TINY).sqrt()
    sparseness = ((mean_across + mean_down)[:, :1] / root + _SPARSE_FLOOR).log()
    return size, direction, sparseness


def _norms(steps: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean of their squares and of their absolute values, each (B, 3)."""
    count = steps.shape[2] * steps.shape[3]
    length, total = (torch.linalg.vector_norm(steps, order, (2, 3)) for order in (2, 1))
    return length * length / count, total / count
