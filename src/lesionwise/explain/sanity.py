"""Sanity check with shuffled weights: maps must change if the weights change.

From the head downwards, layer by layer, the values of each weight are shuffled, which keeps their size and
destroys what they learned. A map that stays the same shows edges or the middle of the image, whatever the
model learned. Letters: K stages.

References:
    Adebayo et al. (2018), https://arxiv.org/abs/1810.03292
"""

from collections.abc import Iterator
from copy import deepcopy
from typing import Final

import numpy as np
import torch
from scipy.stats import rankdata
from torch import Tensor

from lesionwise.arrays import Floats
from lesionwise.models.backbones import layer_depths
from lesionwise.models.network import Network

STAGES: Final = 8
"""Greatest number of stages; in deeper networks, several layers are shuffled at a time."""


def randomised(network: Network, *, seed: int = 0) -> Iterator[tuple[str, Network]]:
    """Yield the network with more and more layers shuffled, from the head to the image.

    Yields:
        The shuffled layers, and the network, which is changed step by step.
    """
    generator = torch.Generator().manual_seed(seed)
    depths = layer_depths(network)
    deepest = max(depths.values())
    bounds = np.unique(np.linspace(0, deepest, min(STAGES, deepest + 1)).round().astype(int))
    shuffled = deepcopy(network)
    done = -1
    for bound in bounds.tolist():
        with torch.no_grad():
            for name, weight in shuffled.named_parameters():
                if done < depths[name] <= bound:
                    flat = weight.flatten()
                    weight.copy_(flat[torch.randperm(len(flat), generator=generator)].view_as(weight))
        done = bound
        yield _title(bound, deepest), shuffled.eval()


def rank_similarity(maps: Tensor, others: Tensor) -> Floats:
    """Return Spearman's rank correlation of each pair of maps (N, h, w), shape (N,); 0 for a constant map."""
    ranks = [rankdata(np.asarray(values.flatten(1)), axis=1) for values in (maps, others)]
    first, second = (values - values.mean(axis=1, keepdims=True) for values in ranks)
    spread = np.sqrt((first**2).sum(axis=1) * (second**2).sum(axis=1))
    products = (first * second).sum(axis=1)
    return np.asarray(np.divide(products, spread, out=np.zeros(len(products)), where=spread > 0))


def _title(bound: int, deepest: int) -> str:
    if bound == 0:
        return "head"
    return "all layers" if bound == deepest else f"head and {bound} of {deepest}"
