"""Maps of the evidence for a diagnosis: one for each image, by the method that its network allows.

Not here: whether the maps make sense (`pointing`, `deletion`, `sanity`), and pictures (`overlay`).

A map shows what each place adds to the logit of one class *above the mean of all classes*: a softmax ignores
what all logits share, and what raises every class explains none. There are three methods:

* A pooled head is linear in the places, so the map is exact (CAM): its mean is the logit itself.
* With another head, the mean gradient weighs the channels of the feature map (Grad-CAM), at the last layer
  with places, where `Network` separates features from head.
* Features of single pixels (`seed-mlp`) have no places in their channels, only in the head. Averaging the
  gradient would give a map of colours, so the gradient stays in its place (HiResCAM).

References:
    Zhou et al. (2016), https://doi.org/10.1109/CVPR.2016.319 (CAM)
    Selvaraju et al. (2017), https://doi.org/10.1109/ICCV.2017.74 (Grad-CAM)
    Draelos and Carin (2020), https://arxiv.org/abs/2011.08891 (HiResCAM)
"""

from enum import StrEnum
from typing import Final

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from lesionwise.arrays import Float32s
from lesionwise.errors import RunError
from lesionwise.models.network import Network, PooledHead

_MAP_AXES: Final = 4


class Method(StrEnum):
    """Method of the maps of a network."""

    cam = "class activation map"
    grad_cam = "Grad-CAM"
    hires_cam = "HiResCAM"


def choose_method(network: Network, size: tuple[int, int]) -> Method:
    """Return the method by which a network can be explained."""
    if isinstance(network.head, PooledHead):
        return Method.cam
    with torch.inference_mode():
        features = network.eval().features(torch.zeros(1, 3, *size))
    shape = tuple(features.shape)
    if len(shape) != _MAP_AXES:
        raise RunError(f"Expected features with places but got the shape {shape}, which gives no map.")
    sees_single_pixels = shape[1:3] == size  # (1, H, W, D), a place for each pixel
    return Method.hires_cam if sees_single_pixels else Method.grad_cam


def class_maps(network: Network, images: Tensor, classes: Tensor, method: Method) -> Tensor:
    """Return what each place adds to the logit of a class above the mean of all classes.

    Returns:
        Signed values, shape (B, h, w). For `cam` their mean over places is the logit minus the mean logit;
        for the others they are right up to a factor.
    """
    if method is Method.cam:
        with torch.inference_mode():
            maps = network.outputs(images).cam
        if maps is None:
            raise ValueError("Expected a network with exact maps but its head gives none.")
        return _pick(maps, classes) - maps.mean(1)
    features, gradient = _features_and_gradient(network, images, classes)
    if method is Method.hires_cam:
        return (features * gradient).sum(3)
    return (features * gradient.mean((2, 3), keepdim=True)).sum(1)


def _pick(maps: Tensor, classes: Tensor) -> Tensor:
    return maps[torch.arange(len(maps), device=maps.device), classes]


def _features_and_gradient(network: Network, images: Tensor, classes: Tensor) -> tuple[Tensor, Tensor]:
    """Return the features below the head, and the effect of a step in each of them on the logit."""
    with torch.no_grad():
        features = network.features((images - network.mean) / network.std)
    features = features.detach().requires_grad_()
    logits = network.head(features)
    (gradient,) = torch.autograd.grad((_pick(logits, classes) - logits.mean(1)).sum(), features)
    return features.detach(), gradient


def stretch_maps(maps: Tensor, size: tuple[int, int]) -> Float32s:
    """Return maps (B, h, w) at the size of their view, shape (B, H, W)."""
    grown = F.interpolate(maps[:, None].float(), size, mode="bilinear", align_corners=False)
    return np.asarray(grown[:, 0].cpu())
