import pytest
import torch

from lesionwise.models.network import Network
from lesionwise.models.registry import create_model
from lesionwise.recipe import load_recipe

CONVOLUTIONS = 14_714_688  # of VGG16 without its dense layers, as Keras counts them


@pytest.fixture(scope="module")
def network() -> Network:
    return create_model("seed-vgg16", num_classes=7, image_size=(70, 64), drop_rate=0.0)


def test_it_has_the_published_convolutions_and_one_dense_layer(network: Network) -> None:
    assert sum(weight.numel() for weight in network.features.parameters()) == CONVOLUTIONS
    assert sum(weight.numel() for weight in network.head.parameters()) == 2 * 2 * 512 * 7 + 7


def test_it_has_no_map_because_its_layer_knows_places(network: Network) -> None:
    with torch.inference_mode():
        outputs = network.eval().outputs(torch.rand(2, 3, 70, 64))
    assert outputs.logits.shape == (2, 7)
    assert outputs.cam is None


def test_the_recipe_holds_the_convolutions_still_at_the_notebooks_size() -> None:
    recipe = load_recipe("seed-vgg16")
    assert (recipe.image_size, recipe.freeze, recipe.weights) == ((150, 150), "all", "published")
