"""Deletion and insertion: the model's answer as places are removed or added, the most important first.

Places are ordered by the map, at random, and by the map of another image, which knows where lesions lie but
not this one. Not here: maps (`cam`).

A place is removed by painting it in the mean colour of the image. A faithful map removes the certainty sooner
than chance does, and restores it sooner. Letters: K steps.

References:
    Petsiuk, Das and Saenko (2018), https://arxiv.org/abs/1806.07421 (deletion and insertion)
"""

from typing import Final

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from lesionwise.arrays import Floats
from lesionwise.explain.record import MODES
from lesionwise.models.network import Network

STEPS: Final = 10
"""Number of equal parts in which the view is removed."""
ORDERS: Final = ("own", "random", "other")
GRID: Final = (12, 16)
"""Greatest number of cells down and across; finer maps are averaged, so that no single pixels are removed."""


def answer_curves(
    network: Network, images: Tensor, classes: Tensor, ranked: dict[str, Tensor]
) -> dict[str, Floats]:
    """Return the probability of the explained class as the view is removed and restored.

    Args:
        ranked: Values by order of `ORDERS`, shape (B, h, w); the highest place comes first.

    Returns:
        Arrays of shape (B, K + 1) by "<mode>-<order>".
    """
    blank = images.mean((2, 3), keepdim=True)
    whole = _probability(network, images, classes)
    nothing = _probability(network, blank.expand_as(images), classes)
    curves: dict[str, Floats] = {}
    for order, values in ranked.items():
        rank = _ranks(values)
        between = [_cells(rank < step / STEPS, images) for step in range(1, STEPS)]
        for mode in MODES:
            kept = [~taken if mode == "deletion" else taken for taken in between]
            steps = [_probability(network, torch.where(some, images, blank), classes) for some in kept]
            ends = (whole, nothing) if mode == "deletion" else (nothing, whole)
            curves[f"{mode}-{order}"] = np.stack([ends[0], *steps, ends[1]], axis=1)
    return curves


def cell_values(maps: Tensor) -> Tensor:
    """Return maps (B, h, w) with at most `GRID` places; finer ones are averaged."""
    size = (min(maps.shape[1], GRID[0]), min(maps.shape[2], GRID[1]))
    return F.adaptive_avg_pool2d(maps[:, None], size)[:, 0]


def area_under(curve: Floats) -> Floats:
    """Return the area under each curve (..., K + 1) over the removed part, shape (...)."""
    return np.asarray((curve[..., 1:] + curve[..., :-1]).mean(axis=-1) / 2)


def _ranks(values: Tensor) -> Tensor:
    """Return the part of the places before each place, shape (B, h, w), in [0, 1)."""
    flat = values.flatten(1)
    order = flat.argsort(dim=1, descending=True, stable=True)
    ranks = torch.empty_like(order).scatter_(1, order, torch.arange(flat.shape[1]).expand_as(order))
    return (ranks / flat.shape[1]).view_as(values)


def _cells(chosen: Tensor, images: Tensor) -> Tensor:
    """Return chosen places (B, h, w) as pixels (B, 1, H, W)."""
    return F.interpolate(chosen[:, None].float(), images.shape[2:], mode="nearest") > 0.5  # noqa: PLR2004 (a boolean)


def _probability(network: Network, images: Tensor, classes: Tensor) -> Floats:
    with torch.inference_mode():
        probabilities = network(images.contiguous(memory_format=torch.channels_last)).double().softmax(1)
    return np.asarray(probabilities[torch.arange(len(classes)), classes].cpu())
