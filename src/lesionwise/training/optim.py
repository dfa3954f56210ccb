"""Optimisers and schedules by their recipe keys."""

from typing import Any

from torch import nn
from torch.optim import SGD, Adam, AdamW, Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, OneCycleLR, ReduceLROnPlateau

from lesionwise.recipe import Recipe


def make_optimizer(network: nn.Module, recipe: Recipe) -> Optimizer:
    """Return the recipe's optimiser; biases and normalisation layers are not decayed."""
    parameters = list(network.parameters())
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": recipe.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    match recipe.optimizer:
        case "adam":
            return Adam(groups, lr=recipe.lr, eps=1e-7, fused=True)  # Keras' epsilon
        case "adamw":
            return AdamW(groups, lr=recipe.lr, fused=True)
        case "sgd":
            return SGD(groups, lr=recipe.lr, momentum=0.9, nesterov=True, fused=True)


def make_schedule(optimizer: Optimizer, recipe: Recipe, *, steps: int) -> dict[str, Any] | None:
    """Return Lightning's description of the recipe's schedule, or None for a constant rate.

    Args:
        optimizer: Whose rate changes.
        recipe: Names the schedule.
        steps: Steps of the whole training.
    """
    match recipe.schedule:
        case "constant":
            return None
        case "plateau":
            plateau = ReduceLROnPlateau(
                optimizer,
                mode="min" if recipe.monitor.endswith("loss") else "max",
                factor=recipe.plateau_factor,
                patience=recipe.plateau_patience - 1,  # PyTorch waits one epoch more than its name says
                threshold=1e-4,
                threshold_mode="abs",
                min_lr=recipe.min_lr,
            )
            return {"scheduler": plateau, "interval": "epoch", "monitor": recipe.monitor}
        case "cosine":
            return {
                "scheduler": CosineAnnealingLR(optimizer, steps, eta_min=recipe.min_lr),
                "interval": "step",
            }
        case "one_cycle":
            one_cycle = OneCycleLR(
                optimizer, recipe.lr, total_steps=steps, pct_start=recipe.warmup, cycle_momentum=False
            )
            return {"scheduler": one_cycle, "interval": "step"}
