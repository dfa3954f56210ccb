"""MixUp and CutMix, which mix images and their targets, and metadata dropout.

Not here: encoding metadata (`lesionwise.data.metadata`).
"""

import math

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from lesionwise.recipe import Recipe
from lesionwise.training.step.randomness import uniform

_DRAWS = 32  # the last of these numbers is used; augmentation uses the first ones


def mix(
    images: Tensor, targets: Tensor, recipe: Recipe, *, seed: int, epoch: int, batch: int
) -> tuple[Tensor, Tensor]:
    """Return mixed images and targets, or both unchanged if the recipe mixes nothing.

    Args:
        targets: Probabilities of the classes, shape (B, C).
        recipe: Its `mixup` and `cutmix`; with both, each batch takes one of them at random.

    References:
        Zhang et al. (2018), https://arxiv.org/abs/1710.09412 (MixUp)
        Yun et al. (2019), https://doi.org/10.1109/ICCV.2019.00612 (CutMix)
    """
    kinds = [kind for kind in (("mixup", recipe.mixup), ("cutmix", recipe.cutmix)) if kind[1]]
    if not kinds:
        return images, targets
    rng = np.random.default_rng([seed, epoch, batch])
    name, alpha = kinds[rng.integers(len(kinds))]
    kept = float(rng.beta(alpha, alpha))
    others = images.flip(0)  # the order is random anyway
    if name == "mixup":
        mixed = torch.lerp(others, images, kept)
    else:
        mixed, kept = _paste(images, others, kept, rng)
    return mixed, targets * kept + targets.flip(0) * (1 - kept)


def _paste(images: Tensor, others: Tensor, kept: float, rng: np.random.Generator) -> tuple[Tensor, float]:
    """Paste a box of the other images, and return the part of the area that remains."""
    height, width = images.shape[2:]
    top, bottom = _span(height, kept, rng)
    left, right = _span(width, kept, rng)
    mixed = images.clone()
    mixed[:, :, top:bottom, left:right] = others[:, :, top:bottom, left:right]
    return mixed, 1 - (bottom - top) * (right - left) / (height * width)


def _span(side: int, kept: float, rng: np.random.Generator) -> tuple[int, int]:
    """Return start and end of a box along one side, cut at the border."""
    centre, half = rng.uniform(0, side), math.sqrt(1 - kept) * side / 2
    return round(max(centre - half, 0)), round(min(centre + half, side))


def drop_metadata(metadata: Tensor, dropout: float, *, seed: int, epoch: int, samples: ArrayLike) -> Tensor:
    """Return the metadata of a batch, shape (B, M), with zeros for a random part of the images.

    Args:
        metadata: Encoded metadata of all N images, shape (N, M).
        dropout: Probability that the metadata of an image become zero.
        samples: Rows of `metadata` for the batch, shape (B,).
    """
    rows = torch.as_tensor(samples, device=metadata.device)
    drawn = torch.from_numpy(uniform(seed, epoch, samples, _DRAWS)[:, -1]).to(metadata.device)
    return metadata[rows] * (drawn >= dropout)[:, None]
