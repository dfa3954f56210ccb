"""Losses for seven classes, of which one has fifty times the images of another.

Not here: which images are drawn (`sampling`). Letters: V views of an image.
"""

from torch import Tensor, nn
from torch.nn import functional as F
from typing_extensions import override

from lesionwise.recipe import Recipe


def class_frequency(counts: Tensor) -> Tensor:
    """Return the part of all images in each class, shape (C,); a class without images counts as one image."""
    return counts.clamp(min=1) / counts.clamp(min=1).sum()


def balanced_weights(counts: Tensor, exponent: float, *, sampling: float = 0.0) -> Tensor:
    """Return a loss weight per class: the inverse frequency to a power, with a mean of one over drawn images.

    Args:
        exponent: 0 gives all images the same weight, 1 all classes.
        sampling: Exponent with which images are drawn; the two add up.
    """
    frequency = class_frequency(counts)
    weights, drawn = frequency**-exponent, frequency ** (1 - sampling)
    return weights * drawn.sum() / (weights * drawn).sum()


class Loss(nn.Module):
    """Weighted cross-entropy of soft targets, with focal weighting and logit adjustment.

    The sum is divided by the batch size, not by the weights in the batch, so that an image of a rare class
    has the same weight in any batch.

    Args:
        counts: Number of training images of each class, shape (C,).

    Attributes:
        weights: Weight of each class, shape (C,).
        log_frequency: Log frequency of each class, times `logit_adjustment`, shape (C,).

    References:
        Lin et al. (2017), https://doi.org/10.1109/ICCV.2017.324 (focal loss)
        Menon et al. (2021), https://arxiv.org/abs/2007.07314 (logit adjustment)
    """

    weights: Tensor
    log_frequency: Tensor

    def __init__(self, recipe: Recipe, counts: Tensor) -> None:
        super().__init__()
        weights = balanced_weights(counts, recipe.class_weight, sampling=recipe.sampling)
        drawn = class_frequency(counts) ** (1 - recipe.sampling)
        log_frequency = recipe.logit_adjustment * (drawn / drawn.sum()).log()
        self.register_buffer("weights", weights, persistent=False)
        self.register_buffer("log_frequency", log_frequency, persistent=False)
        self.recipe = recipe

    @override
    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Return the mean loss of a batch. `targets`: probabilities of the classes, shape (B, C)."""
        smoothing, focal_gamma = self.recipe.label_smoothing, self.recipe.focal_gamma
        log_prob = F.log_softmax(logits.float() + self.log_frequency, dim=1)
        smooth = targets * (1 - smoothing) + smoothing / targets.shape[1]
        terms = -smooth * log_prob * self.weights
        if focal_gamma:
            terms = terms * (1 - log_prob.exp()) ** focal_gamma
        return terms.sum() / len(targets)


def consistency_loss(logits: Tensor) -> Tensor:
    """Return the distance of the answers to several views of an image from their mean.

    The mean of several answers changes less than each of them when a picture changes. This loss teaches each
    view to give the mean.

    Args:
        logits: Raw outputs, shape (V, B, C) for V views of B images.

    Returns:
        Mean Kullback-Leibler divergence of each view's probabilities from those of the mean logits, which get
        no gradient.

    References:
        Wu et al. (2021), https://arxiv.org/abs/2106.14448 (R-Drop)
    """
    log_prob = F.log_softmax(logits.float(), dim=-1)
    together = F.log_softmax(logits.detach().float().mean(0), dim=-1).expand_as(log_prob)
    return F.kl_div(log_prob, together, reduction="sum", log_target=True) / logits.shape[:2].numel()
