"""What a model in training is told besides the image, and of which images it is told nothing.

Here: hiding metadata, as a function of (seed, epoch, sample), so that the model learns to do without. Not
here: how they are encoded (`lesionwise.data.metadata`).
Letters: N images, B batch, M numbers of an image.
"""

import torch
from numpy.typing import ArrayLike
from torch import Tensor

from lesionwise.training.step.randomness import uniform

_DRAWS = 32  # the last of so many: augmentation takes the first ones


def tell(metadata: Tensor, dropout: float, *, seed: int, epoch: int, samples: ArrayLike) -> Tensor:
    """Return the metadata of some images, those of a part of them hidden, shape (B, M).

    Args:
        metadata: Of all images, encoded, shape (N, M).
        dropout: Part of the images whose metadata are hidden.
        seed: Of the run.
        epoch: Number of the epoch.
        samples: Row number of each image, shape (B,).
    """
    rows = torch.as_tensor(samples, device=metadata.device)
    drawn = torch.from_numpy(uniform(seed, epoch, samples, _DRAWS)[:, -1]).to(metadata.device)
    return metadata[rows] * (drawn >= dropout)[:, None]
