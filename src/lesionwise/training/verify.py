"""What a recipe asks of this machine and of its network, verified before anything is begun or continued."""

from pathlib import Path

from lesionwise.models.depth import lowest_layers
from lesionwise.models.weights import FRESH
from lesionwise.recipe import Recipe, load_recipe
from lesionwise.training.fit import fresh_network
from lesionwise.training.loop.hardware import verify_compiler
from lesionwise.training.loop.tracking import verify_logger


def verify_recipe(recipe: Recipe, device: str | None, *, begun: bool = False) -> None:
    """Refuse a recipe that would fail here only after images were read and folders written.

    Args:
        recipe: What is about to be trained.
        device: "cpu", "cuda" or "mps"; None where other machines train, which speak for themselves.
        begun: Go on with weights that were kept: those that the recipe starts from need not be there.

    Raises:
        LesionwiseError: If the extra of its logger or a compiler is missing; if its network or its weights
            cannot be had, or do not fit its image sizes; or if it holds all layers still.
    """
    if device:
        verify_logger(recipe)
    if device and recipe.compile:
        verify_compiler(device)
    network = fresh_network(recipe, weights=FRESH if begun else recipe.weights)
    if recipe.freeze_layers:
        lowest_layers(network, recipe.freeze_layers)


def recipe_changes(recipe: Recipe, config: Path) -> str:
    """Return in words which keys of a recipe differ from those that a folder started with; nothing if none.

    Args:
        recipe: What is asked for now.
        config: The file that the recipe was noted in, which may spell the path of the same weights otherwise.
    """
    earlier = load_recipe(config)
    if Path(earlier.weights).resolve() == Path(recipe.weights).resolve():
        recipe = recipe.model_copy(update={"weights": earlier.weights})
    was, now = earlier.model_dump(mode="json"), recipe.model_dump(mode="json")
    return ", ".join(f"{key} was {was[key]!r}, now {now[key]!r}" for key in was if was[key] != now[key])
