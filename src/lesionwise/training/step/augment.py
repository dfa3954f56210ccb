"""Augmentation: JPEG compression, one movement in one resampling, then focus, colours and noise.

Not here: the choice of changes (the recipe), and mixing images with each other (`mixing`).
"""

import math
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor
from torch.nn import functional as F

from lesionwise.arrays import Float32s
from lesionwise.data.images import centred_slices
from lesionwise.encoding import recompress
from lesionwise.recipe import Recipe
from lesionwise.training.step.randomness import uniform

_DRAWS = 16  # random numbers for one view of a sample
_BLUR, _JPEG, _NOISE = 13, 14, 15  # columns of these numbers; the others are used in order
_VIEW_DRAWS = 32  # columns from one view to the next; more than `_DRAWS`, for future changes
_BEST_JPEG = 98  # a better quality loses next to nothing
_NO_BLUR_PX = 1e-3  # as good as none, and avoids a division by zero
_REACH = 4.0  # deviations; numbers beyond are so small that processors multiply them slowly


def augment(
    images: Tensor, recipe: Recipe, *, seed: int, epoch: int, samples: ArrayLike, view: int = 0
) -> Tensor:
    """Return changed images; each change is a function of seed, epoch and sample.

    Args:
        images: RGB, shape (B, H, W, 3), uint8.
        view: Number of the view; each view of an image has other changes.

    Returns:
        RGB in [0, 1], shape (B, 3, h, w), in channels-last memory.
    """
    first = view * _VIEW_DRAWS
    drawn = uniform(seed, epoch, samples, first + _DRAWS)[:, first:]
    numbers = torch.from_numpy(drawn).to(images.device)
    draws = iter(numbers.unbind(1))
    moved = _move(to_unit_range(_compress(images, recipe, drawn[:, _JPEG])), recipe, draws)
    recoloured = _recolour(_defocus(moved, recipe, numbers[:, _BLUR]), recipe, draws)
    return _add_noise(recoloured, recipe, numbers[:, _NOISE])


def evaluation_view(images: Tensor, recipe: Recipe) -> Tensor:
    """Return the centred part of each image that evaluation uses, as `augment` returns images."""
    pixels = to_unit_range(images)
    rows, columns = centred_slices((pixels.shape[2], pixels.shape[3]), recipe.eval_zoom)
    pixels = pixels[:, :, rows, columns]
    if pixels.shape[2:] != recipe.view_size:
        pixels = F.interpolate(pixels, recipe.view_size, mode="bilinear", antialias=True)
    return pixels.contiguous(memory_format=torch.channels_last)


def to_unit_range(images: Tensor) -> Tensor:
    """Return RGB in [0, 1], shape (B, 3, H, W), of uint8 images (B, H, W, 3)."""
    return images.permute(0, 3, 1, 2).float().div_(255)


def _compress(images: Tensor, recipe: Recipe, drawn: Float32s) -> Tensor:
    """Save every second image as JPEG, with a random quality from `jpeg` to `_BEST_JPEG`, and read it."""
    if recipe.jpeg is None:
        return images
    compressed = images.clone()
    for row in np.flatnonzero(drawn >= 0.5):  # noqa: PLR2004 (every second)
        quality = round(_BEST_JPEG - (2 * float(drawn[row]) - 1) * (_BEST_JPEG - recipe.jpeg))
        pixels = recompress(images[row].numpy(force=True), quality)
        compressed[row] = torch.tensor(pixels, device=images.device)
    return compressed


def _add_noise(images: Tensor, recipe: Recipe, drawn: Tensor) -> Tensor:
    """Add Gaussian noise with a random deviation of up to `noise` to every second image.

    The sample determines which images get how much. The grain itself comes from PyTorch's generator, which
    each step seeds (`seed_dropout`).
    """
    if not recipe.noise:
        return images
    deviation = recipe.noise * _signed(drawn).clamp(min=0)
    return torch.addcmul(images, torch.randn_like(images), deviation[:, None, None, None]).clamp_(0, 1)


def _move(images: Tensor, recipe: Recipe, draws: Iterator[Tensor]) -> Tensor:
    """Rotate, zoom, stretch, flip and shift in one bilinear resampling.

    At zoom 1 the crop shows the largest centred box of its aspect ratio, as `read_image` does.
    """
    height, width = images.shape[2:]
    crop_height, crop_width = recipe.crop_size
    angle = _signed(next(draws)) * math.radians(recipe.rotation)
    low, high = recipe.zoom
    zoom = low * (high / low) ** next(draws)  # twice as large is as frequent as half as large
    other_zoom = low * (high / low) ** next(draws)
    zoom_y = other_zoom if recipe.zoom_apart else zoom
    stretch = (1 + recipe.aspect) ** (_signed(next(draws)) / 2)
    mirror_x, mirror_y = (_coin(next(draws), asked=recipe.flip) for _ in range(2))
    scale = min(height / crop_height, width / crop_width)
    box_width, box_height = scale * crop_width / zoom, scale * crop_height / zoom_y
    cos, sin = torch.cos(angle), torch.sin(angle)
    shift_x, shift_y = (_signed(next(draws)) * 2 * recipe.shift for _ in range(2))
    rows = [
        torch.stack(
            [cos * box_width * stretch * mirror_x, -sin * box_height / stretch * mirror_y, shift_x * width]
        ),
        torch.stack(
            [sin * box_width * stretch * mirror_x, cos * box_height / stretch * mirror_y, shift_y * height]
        ),
    ]
    theta = torch.stack([rows[0] / width, rows[1] / height]).permute(2, 0, 1)
    grid = _sampling_grid(theta, crop_height, crop_width)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode=recipe.fill, align_corners=False)


def _sampling_grid(theta: Tensor, height: int, width: int) -> Tensor:
    """Return the source of each pixel of the crop, shape (B, h, w, 2), as `affine_grid` does.

    That multiplies thin matrices, image by image, and takes longer than the sampling itself.
    """
    x = torch.arange(1 - width, width, 2, device=theta.device)[None, None, :, None] / width
    y = torch.arange(1 - height, height, 2, device=theta.device)[None, :, None, None] / height
    along_x, along_y, shift = theta[:, None, None].unbind(-1)
    return torch.addcmul(torch.addcmul(shift, y, along_y), x, along_x)


def _defocus(images: Tensor, recipe: Recipe, drawn: Tensor) -> Tensor:
    """Blur every second image by a Gaussian with a random deviation of up to `blur`."""
    if not recipe.blur:
        return images
    height, width = images.shape[2:]
    deviation = recipe.blur * height * _signed(drawn).clamp(min=0)
    with torch.autocast(images.device.type, enabled=False):  # bf16 would shift the brightness
        return _weights(deviation, height) @ images @ _weights(deviation, width).mT


def _weights(deviation: Tensor, length: int) -> Tensor:
    """Return what the pixels of a line take from each other, shape (B, 1, length, length); rows sum to 1."""
    apart = torch.arange(length, device=deviation.device)
    away = apart / deviation.clamp(min=_NO_BLUR_PX)[:, None]
    weights = (torch.exp(-0.5 * away**2) * (away <= _REACH))[:, (apart[:, None] - apart).abs()]
    return (weights / weights.sum(-1, keepdim=True))[:, None]


def _recolour(images: Tensor, recipe: Recipe, draws: Iterator[Tensor]) -> Tensor:
    """Change brightness, contrast about the image's mean, and the gain of each channel, in one pass."""
    brightness = 1 + recipe.brightness * _signed(next(draws))
    contrast = 1 + recipe.contrast * _signed(next(draws))
    gains = 1 + recipe.color * _signed(torch.stack([next(draws) for _ in range(3)], dim=1))
    lift = images.mean((1, 2, 3)) * (brightness - contrast)
    slopes, offsets = ((gains * change[:, None])[:, :, None, None] for change in (contrast, lift))
    changed = torch.addcmul(offsets, images, slopes).clamp_(0, 1)
    return changed.contiguous(memory_format=torch.channels_last)


def _signed(numbers: Tensor) -> Tensor:
    return 2 * numbers - 1


def _coin(numbers: Tensor, *, asked: bool) -> Tensor:
    return torch.where(numbers < 0.5, -1.0, 1.0) if asked else torch.ones_like(numbers)  # noqa: PLR2004 (even odds)
