"""A trained run that teaches another: what it says of the same changed image is learnt beside the diagnosis.

Here: finding the run, refusing one that saw what the pupil holds out, asking it, and the loss. Not here: the
step that calls it (`module`).
Letters: B batch, C classes, H W pixels.

References:
    Hinton et al. (2015), https://arxiv.org/abs/1503.02531 (distillation)
    Beyer et al. (2022), https://doi.org/10.1109/CVPR52688.2022.01065 (teacher and pupil see the same crop)
"""

from pathlib import Path
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional as F

from lesionwise.data.preprocess import recipe_steps
from lesionwise.errors import RecipeError, SplitError
from lesionwise.models.network import Network
from lesionwise.recipe import Recipe, load_recipe
from lesionwise.run_folder import open_run_folder
from lesionwise.split.split_file import read_split
from lesionwise.training.fit import load_best_network
from lesionwise.training.prepare import TrainingData

_TEMPERATURE: Final = 2.0


class Teacher:
    """A network that answers and does not learn.

    Args:
        network: From RGB in [0, 1] and encoded metadata to logits.
        recipe: It was trained by.
        share: Of the pupil's loss; the rest is that of the diagnoses.
    """

    def __init__(self, network: Network, recipe: Recipe, share: float) -> None:
        self.network = network.eval().requires_grad_(requires_grad=False)
        self.size = recipe.crop_size
        self.is_told = bool(recipe.metadata)
        self.share = share

    def to(self, device: torch.device) -> "Teacher":
        """Move the network to a device, and return this."""
        self.network.to(device).to(memory_format=torch.channels_last)
        return self

    @torch.no_grad()
    def logits(self, images: Tensor, told: Tensor | None) -> Tensor:
        """Return what it says, shape (B, C), of RGB images in [0, 1], shape (B, 3, H, W), and metadata."""
        answer: Tensor = self.network(images, told if self.is_told else None)
        return answer

    def loss(self, pupil: Tensor, own: Tensor, diagnoses: Tensor) -> Tensor:
        """Return the loss of a batch: that of the diagnoses, and how far the pupil is from the teacher.

        Args:
            pupil: Its logits, shape (B, C).
            own: Those of the teacher, shape (B, C).
            diagnoses: The loss of the pupil on the diagnoses.
        """
        said, meant = (F.log_softmax(logits.float() / _TEMPERATURE, dim=1) for logits in (pupil, own))
        apart = F.kl_div(said, meant, reduction="batchmean", log_target=True) * _TEMPERATURE**2
        return (1 - self.share) * diagnoses + self.share * apart


def open_teacher(recipe: Recipe) -> Teacher | None:
    """Return the network that a recipe's teacher answers with; None where it has no teacher.

    Raises:
        RunError: If there is no such run, or it has not been trained.
    """
    if recipe.teacher is None:
        return None
    run = open_run_folder(Path(recipe.teacher), "run")
    own = load_recipe(run.config)
    return Teacher(load_best_network(run, own), own, recipe.distillation)


def teacher_of_fold(recipe: Recipe, name: str) -> Recipe:
    """Return the recipe of one run of several: a cross-validated teacher is its fold of that name."""
    if recipe.teacher is None or not (own := Path(recipe.teacher) / name).is_dir():
        return recipe
    return recipe.model_copy(update={"teacher": str(own)})


def verify_teacher(recipe: Recipe, data: TrainingData) -> None:
    """Refuse a teacher that cannot teach this recipe, or knows lesions that the pupil will be judged by.

    What a teacher learnt by heart it passes on: a pupil is no less leaky than its teacher.

    Args:
        recipe: Of the pupil.
        data: Of the pupil.

    Raises:
        RunError: If there is no such run.
        RecipeError: If it takes other images or other metadata.
        SplitError: If it was trained on a lesion that the pupil holds out.
    """
    if recipe.teacher is None:
        return
    run = open_run_folder(Path(recipe.teacher), "run")
    own = load_recipe(run.config)
    if (own.image_size, recipe_steps(own)) != (recipe.image_size, recipe_steps(recipe)):
        raise RecipeError(
            f"{run.path}: was trained on images of {own.image_size} but its pupil reads them at "
            f"{recipe.image_size}, or prepares them otherwise. Set image_size and the steps alike."
        )
    if own.metadata and own.metadata != recipe.metadata:
        raise RecipeError(
            f"{run.path}: is told {', '.join(own.metadata)}, so its pupil must be too: set metadata alike."
        )
    seen = set(read_split(run.split).image_ids("train", *(["val"] if own.train_on_val else [])))
    unit, name = (data.image_id, "images") if data.split.leaky else (data.group, "lesions")
    taught = unit[[image in seen for image in data.image_id]]
    held_out = unit[(data.part != "") & (data.part != "train")]
    both = set(taught) & set(held_out)
    if both:
        raise SplitError(
            f"{run.path}: was trained on {len(both)} {name} that this run holds out, such as {min(both)}. "
            "A pupil learns what its teacher knows by heart: train the teacher on the same split or fold."
        )
