import pytest
import torch

from lesionwise.errors import RecipeError
from lesionwise.models.registry import MODELS, create_model
from lesionwise.models.small import Block

SIZE = (48, 64)


@pytest.mark.parametrize("name", MODELS)
def test_every_model_gives_logits_and_all_its_weights_learn(name: str) -> None:
    network = create_model(name, num_classes=7, image_size=SIZE, drop_rate=0.0)
    logits = network(torch.rand(3, 3, *SIZE))
    assert logits.shape == (3, 7)
    logits.square().sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


def test_normalisation_is_part_of_the_network() -> None:
    network = create_model("small", num_classes=7, image_size=SIZE, drop_rate=0.0).eval()
    images = torch.rand(2, 3, *SIZE)
    mean, std = torch.tensor([0.3, 0.4, 0.5]), torch.tensor([0.1, 0.2, 0.3])
    expected = network((images - mean.view(3, 1, 1)) / std.view(3, 1, 1))
    network.set_statistics(mean, std)
    torch.testing.assert_close(network(images), expected)
    assert torch.equal(network.state_dict()["mean"].flatten(), mean)


def test_the_seeds_network_has_the_published_number_of_weights() -> None:
    network = create_model("seed-cnn", num_classes=7, image_size=(75, 100), drop_rate=0.5)
    by_hand = (3 * 9 + 1) * 32 + (32 * 9 + 1) * 32 + (32 * 9 + 1) * 64 + (64 * 9 + 1) * 64
    by_hand += (18 * 25 * 64 + 1) * 128 + (128 + 1) * 7
    assert sum(parameter.numel() for parameter in network.parameters()) == by_hand


@pytest.mark.parametrize(("name", "weights"), [("seed-cnn-256", 384_455), ("seed-mlp", 2_139_591)])
def test_the_seeds_small_networks_have_the_weights_their_layers_say(name: str, weights: int) -> None:
    network = create_model(name, num_classes=7, image_size=(32, 32), drop_rate=0.3)
    assert sum(parameter.numel() for parameter in network.parameters()) == weights


def test_small_starts_each_block_as_its_shortcut_and_stays_small() -> None:
    network = create_model("small", num_classes=7, image_size=SIZE, drop_rate=0.0)
    blocks = [layer for layer in network.modules() if isinstance(layer, Block)]
    for block in blocks:
        first = block.deep.get_submodule("0.0")
        assert isinstance(first, torch.nn.Conv2d)
        x = torch.rand(2, first.in_channels, 8, 8)
        torch.testing.assert_close(block(x), block.shortcut(x).relu())
    assert len(blocks) == 6
    assert sum(parameter.numel() for parameter in network.parameters()) < 1_250_000  # 5 MB in fp32


def test_small_takes_images_of_any_size() -> None:
    network = create_model("small", num_classes=7, image_size=SIZE, drop_rate=0.0).eval()
    assert network(torch.rand(1, 3, 75, 101)).shape == (1, 7)


def test_an_unknown_model_is_refused_with_the_known_ones() -> None:
    with pytest.raises(RecipeError, match=r'one of seed-cnn, .*small.* but got "resnet9000"'):
        create_model("resnet9000", num_classes=7, image_size=SIZE, drop_rate=0.0)
