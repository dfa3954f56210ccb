"""Which places of an image speak for a diagnosis: one map for each image, by the way its network allows.

Here: the maps. Not here: whether they make sense (`pointing`, `deletion`, `sanity`), pictures (`overlay`).

A map holds what each place adds to the logit of one class *above the mean of all classes*: a softmax does not
see what all logits share, and what raises every class explains none. Three ways lead to it:

* a pooled head is linear in the places, so that the map is exact (CAM): its mean is the logit itself;
* under another head the channels of the feature map are weighed by the mean of their gradient (Grad-CAM), at
  the last layer that has places at all, which is where `Network` parts features from head;
* features that see single pixels (`seed-mlp`) carry no place in their channels, only in the head: averaging
  the gradient would leave a map of colours. There the gradient stays in its place (HiResCAM).

References:
    Zhou et al. (2016), https://doi.org/10.1109/CVPR.2016.319 (CAM)
    Selvaraju et al. (2017), https://doi.org/10.1109/ICCV.2017.74 (Grad-CAM)
    Draelos and Carin (2020), https://arxiv.org/abs/2011.08891 (HiResCAM)
"""

from enum import StrEnum
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from lesionwise.errors import RunError
from lesionwise.models.network import Network, PooledHead

_MAP_AXES: Final = 4


class Method(StrEnum):
    """How the maps of a network are made."""

    cam = "class activation map"
    grad_cam = "Grad-CAM"
    hires_cam = "HiResCAM"


def choose_method(network: Network, size: tuple[int, int]) -> Method:
    """Return the way in which a network can be explained."""
    if isinstance(network.head, PooledHead):
        return Method.cam
    with torch.inference_mode():
        features = network.eval().features(torch.zeros(1, 3, *size))
    if features.ndim != _MAP_AXES:
        raise RunError(
            f"Expected features with places but got the shape {tuple(features.shape)}, which gives no map."
        )
    sees_single_pixels = tuple(features.shape[1:3]) == size  # (1, H, W, D), a place for each pixel
    return Method.hires_cam if sees_single_pixels else Method.grad_cam


def class_maps(network: Network, images: Tensor, classes: Tensor, method: Method) -> Tensor:
    """Return what each place adds to the logit of a class above the mean of all classes.

    Returns:
        Signed values, shape (B, h, w). By `cam` their mean over places is the logit less the mean logit; by
        the others they are right up to a factor.
    """
    if method is Method.cam:
        with torch.inference_mode():
            maps = network.outputs(images).cam
        if maps is None:
            raise ValueError("Expected a network with exact maps but its head has none.")
        return _pick(maps, classes) - maps.mean(1)
    features, gradient = _features_and_gradient(network, images, classes)
    if method is Method.hires_cam:
        return (features * gradient).sum(3)
    return (features * gradient.mean((2, 3), keepdim=True)).sum(1)


def _pick(maps: Tensor, classes: Tensor) -> Tensor:
    return maps[torch.arange(len(maps), device=maps.device), classes]


def _features_and_gradient(network: Network, images: Tensor, classes: Tensor) -> tuple[Tensor, Tensor]:
    """Return the features below the head, and what a step in each of them adds to the logit."""
    with torch.no_grad():
        features = network.features((images - network.mean) / network.std)
    features = features.detach().requires_grad_()
    logits = network.head(features)
    (gradient,) = torch.autograd.grad((_pick(logits, classes) - logits.mean(1)).sum(), features)
    return features.detach(), gradient


def stretch_maps(maps: Tensor, size: tuple[int, int]) -> NDArray[np.float32]:
    """Return maps (B, h, w) at the size of the view they belong to, shape (B, H, W)."""
    grown = F.interpolate(maps[:, None].float(), size, mode="bilinear", align_corners=False)
    return np.asarray(grown[:, 0].cpu())
