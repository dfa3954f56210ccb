from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file
from timm.models import vgg
from torch.nn import functional as F

from conftest import make_recipe
from lesionwise.errors import RecipeError
from lesionwise.models.network import Network
from lesionwise.models.notebooks import Dropout
from lesionwise.models.registry import create_model
from lesionwise.recipe import load_recipe
from lesionwise.training.run import train

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


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, dict[str, torch.Tensor]]:
    """A file of the convolutions alone, of a network that is a sixteenth as wide."""
    narrow = [width // 16 if isinstance(width, int) else width for width in vgg.cfgs["vgg16"]]
    monkeypatch.setitem(vgg.cfgs, "vgg16", narrow)
    monkeypatch.setattr(vgg, "ConvMlp", lambda *_, **__: torch.nn.Conv2d(1, 1, 1))  # 120 million weights
    torch.manual_seed(3)
    state = timm.create_model("vgg16", num_classes=0).state_dict()
    assert {name.partition(".")[0] for name in state} == {"features", "pre_logits"}
    kept = {name: value for name, value in state.items() if name.startswith("features.")}
    path = tmp_path / "convolutions.safetensors"
    save_file(kept, path, {"mean": "0.5,0.4,0.3", "std": "0.2,0.2,0.2"})
    return path, kept


def test_a_file_of_the_convolutions_is_all_it_asks_for(start: tuple[Path, dict[str, torch.Tensor]]) -> None:
    path, kept = start
    network = create_model("seed-vgg16", num_classes=7, image_size=(32, 32), drop_rate=0.0, weights=str(path))
    found = network.features.state_dict()
    assert {name.removeprefix("body.") for name in found} == set(kept)
    assert all(torch.equal(found[f"body.{name}"], value) for name, value in kept.items())
    torch.testing.assert_close(network.mean.flatten(), torch.tensor([0.5, 0.4, 0.3]))


def test_a_file_without_one_of_them_is_refused(start: tuple[Path, dict[str, torch.Tensor]]) -> None:
    path, kept = start
    save_file({name: value for name, value in kept.items() if name != "features.28.bias"}, path)
    with pytest.raises(RecipeError, match=r"has no features\.28\.bias and lacks 1 tensor of the network"):
        create_model("seed-vgg16", num_classes=7, image_size=(32, 32), drop_rate=0.0, weights=str(path))


@pytest.mark.parametrize(("freeze", "held"), [("all", True), (1, False)])
def test_its_convolutions_are_held_as_long_as_the_recipe_says(
    freeze: int | str,
    *,
    held: bool,
    start: tuple[Path, dict[str, torch.Tensor]],
    drawn_folder: Path,
    tmp_path: Path,
) -> None:
    path, kept = start
    keys = {
        "model": "seed-vgg16",
        "image_size": [32, 32],
        "weights": str(path),
        "epochs": 2,
        "lr": 1e-3,
        "flip": True,
    }
    run = train(make_recipe(**keys, freeze=freeze), drawn_folder, out=tmp_path / "run")
    state = torch.load(run.checkpoints / "last.ckpt", weights_only=True)["state_dict"]
    same = [torch.equal(state[f"network.features.body.{name}"], value) for name, value in kept.items()]
    assert all(same) if held else not any(same)


@pytest.mark.parametrize("rate", [0.1, 0.25, 0.4])
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_dropout_zeroes_at_the_rate_scales_the_rest_and_is_a_function_of_the_seed(
    rate: float, memory_format: torch.memory_format
) -> None:
    x = (torch.rand(8, 16, 37, 51) + 0.5).to(memory_format=memory_format).requires_grad_()
    torch.manual_seed(3)
    y = Dropout(rate)(x)
    zero = y == 0
    spread = (rate * (1 - rate) / x.numel()) ** 0.5
    assert abs(float(zero.float().mean()) - rate) < 5 * spread
    torch.testing.assert_close(y[~zero], x[~zero] / (1 - rate))
    torch.manual_seed(3)
    assert torch.equal(Dropout(rate)(x), y)
    y.sum().backward()
    torch.testing.assert_close(x.grad, (~zero) / (1 - rate))


def test_dropout_drops_neighbours_independently() -> None:
    torch.manual_seed(0)
    zero = (Dropout(0.25)(torch.ones(4, 400_000)) == 0).float()
    pairs = [(zero[:, lag:] * zero[:, : zero.shape[1] - lag]).mean() for lag in (1, 2, 3, 4, 5, 8)]
    assert max(abs(float(pair) - 0.0625) for pair in pairs) < 5 * (0.0625 / zero.numel()) ** 0.5


def test_dropout_is_the_identity_in_evaluation_and_torchs_own_on_other_layouts() -> None:
    x = torch.rand(6, 9)
    assert torch.equal(Dropout(0.4).eval()(x), x)
    torch.manual_seed(1)
    ours = Dropout(0.4)(x.t())
    torch.manual_seed(1)
    assert torch.equal(ours, F.dropout(x.t(), 0.4))
