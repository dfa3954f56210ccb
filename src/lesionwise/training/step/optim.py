"""Optimisers and learning rate schedules of a recipe."""

import math
from typing import Any

from torch.optim import SGD, Adam, AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR, OneCycleLR, ReduceLROnPlateau

from lesionwise.models.backbones import layer_depths
from lesionwise.models.network import Network
from lesionwise.recipe import Recipe

_JUST_OVER_ONE = 1.001  # steps of warm-up: PyTorch divides by this number minus one


def make_optimizer(network: Network, recipe: Recipe) -> Optimizer:
    """Return the recipe's optimiser, without weight decay of biases and normalisation layers.

    Its groups have falling learning rates, the head's first.
    """
    groups = []
    scales = lr_scales(network, recipe)
    for scale in sorted(set(scales.values()), reverse=True):
        members = [p for name, p in network.named_parameters() if scales[name] == scale]
        for decay, params in (
            (recipe.weight_decay, [p for p in members if p.ndim > 1]),
            (0.0, [p for p in members if p.ndim <= 1]),
        ):
            if params:
                groups.append({"params": params, "weight_decay": decay, "lr": recipe.lr * scale})
    match recipe.optimizer:
        case "adam":
            return Adam(groups, lr=recipe.lr, eps=1e-7, fused=True)  # Keras' epsilon
        case "adamw":
            return AdamW(groups, lr=recipe.lr, fused=True)
        case "sgd":
            return SGD(groups, lr=recipe.lr, momentum=0.9, nesterov=True, fused=True)


def lr_scales(network: Network, recipe: Recipe) -> dict[str, float]:
    """Return the learning rate of each weight as a multiple of the recipe's.

    References:
        Howard and Ruder (2018), https://doi.org/10.18653/v1/P18-1031 (discriminative fine-tuning)
        Bao et al. (2022), https://arxiv.org/abs/2106.08254 (layer-wise decay)
    """
    return {
        name: recipe.lr_features * recipe.layer_decay ** (depth - 1) if depth else 1.0
        for name, depth in layer_depths(network).items()
    }


def make_schedule(optimizer: Optimizer, recipe: Recipe, *, steps: int) -> dict[str, Any] | None:
    """Return Lightning's description of the recipe's schedule; None for a constant rate."""
    match recipe.schedule:
        case "constant":
            return None
        case "plateau":
            plateau = ReduceLROnPlateau(
                optimizer,
                mode="min" if recipe.monitor.endswith("loss") else "max",
                factor=recipe.plateau_factor,
                patience=recipe.plateau_patience - 1,  # PyTorch waits one epoch more
                threshold=1e-4,
                threshold_mode="abs",
                min_lr=recipe.min_lr,
            )
            return {"scheduler": plateau, "interval": "epoch", "monitor": recipe.monitor}
        case "cosine":
            least = recipe.min_lr / recipe.lr
            cosine = LambdaLR(
                optimizer, lambda step: least + (1 - least) * (1 + math.cos(math.pi * step / steps)) / 2
            )
            return {"scheduler": cosine, "interval": "step"}
        case "one_cycle":
            highest = [group["lr"] for group in optimizer.param_groups]
            rising = recipe.warmup * steps
            one_cycle = OneCycleLR(
                optimizer,
                highest,
                total_steps=steps,
                pct_start=recipe.warmup if rising != 1 else _JUST_OVER_ONE / steps,
                cycle_momentum=False,
            )
            return {"scheduler": one_cycle, "interval": "step"}
