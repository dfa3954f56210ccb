"""What a recipe asks of this machine and of its network, verified before anything is begun."""

from lesionwise.models.depth import lowest_layers
from lesionwise.recipe import Recipe
from lesionwise.training.fit import fresh_network
from lesionwise.training.hardware import verify_compiler
from lesionwise.training.tracking import verify_logger


def verify_recipe(recipe: Recipe, device: str) -> None:
    """Refuse a recipe that would fail here only after images were read and folders written.

    Args:
        recipe: What is about to be trained.
        device: "cpu", "cuda" or "mps".

    Raises:
        LesionwiseError: If the extra of its logger or a compiler is missing, or it holds all layers still.
    """
    verify_logger(recipe)
    if recipe.compile:
        verify_compiler(device)
    if recipe.freeze_layers:
        lowest_layers(fresh_network(recipe), recipe.freeze_layers)
