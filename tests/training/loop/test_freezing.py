from pathlib import Path
from types import SimpleNamespace

import lightning as L
import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torch.optim.swa_utils import AveragedModel

from conftest import StopAfter, make_recipe
from lesionwise.errors import RecipeError
from lesionwise.execution import Execution
from lesionwise.models.backbones import lowest_layers
from lesionwise.models.registry import create_model
from lesionwise.training.loop.freezing import LowestLayers, weight_averaging
from lesionwise.training.run import train
from lesionwise.training.step.module import LesionModule

KEYS = {"model": "timm:test_resnet", "image_size": [32, 32], "lr": 1e-2}


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, torch.Tensor]]:
    torch.manual_seed(3)
    network = create_model("timm:test_resnet", num_classes=7, image_size=(32, 32), drop_rate=0.0)
    body = network.features.get_submodule("body")
    path = tmp_path_factory.mktemp("weights") / "start.safetensors"
    save_file(body.state_dict(), path, {"mean": "0.5,0.5,0.5", "std": "0.2,0.2,0.2"})
    return path, body.state_dict()


def features_of(run_path: Path) -> dict[str, torch.Tensor]:
    state = torch.load(run_path / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    prefix = "network.features.body."
    return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}


@pytest.mark.parametrize(("freeze", "held"), [("all", True), (2, True), (1, False)])
def test_frozen_features_stay_as_they_are_to_the_last_statistic(
    freeze: int | str,
    *,
    held: bool,
    start: tuple[Path, dict[str, torch.Tensor]],
    drawn_folder: Path,
    tmp_path: Path,
) -> None:
    path, before = start
    recipe = make_recipe(**KEYS, weights=str(path), freeze=freeze, epochs=2, rotation=10)
    run = train(recipe, drawn_folder, out=tmp_path / "run")
    after = features_of(run.path)
    same = {name for name in before if torch.equal(before[name], after[name])}
    assert (same == set(before)) is held
    state = torch.load(run.checkpoints / "last.ckpt", weights_only=True)["state_dict"]
    torch.testing.assert_close(state["network.std"].flatten(), torch.full((3,), 0.2))


def test_a_frozen_run_resumes_without_the_file_of_weights(
    start: tuple[Path, dict[str, torch.Tensor]], drawn_folder: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy.safetensors"
    copy.write_bytes(start[0].read_bytes())
    recipe = make_recipe(**KEYS, weights=str(copy), freeze=1, epochs=3)
    whole = train(recipe, drawn_folder, out=tmp_path / "whole")

    with pytest.raises(KeyboardInterrupt):
        train(recipe, drawn_folder, out=tmp_path / "stopped", execution=Execution(progress=StopAfter(1)))
    copy.unlink()
    recipe = make_recipe(**KEYS, weights=copy.name, freeze=1, epochs=3)  # the same file, from where we are
    resumed = train(recipe, drawn_folder, out=tmp_path / "stopped", resume=True)
    first, second = features_of(whole.path), features_of(resumed.path)
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("held", [True, False])
def test_several_processes_leave_the_statistics_of_held_layers_as_they_are(
    *, held: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = create_model("timm:test_resnet", num_classes=7, image_size=(32, 32), drop_rate=0.0)
    network.features.requires_grad_(requires_grad=not held)
    module = LesionModule(network, make_recipe(**KEYS), torch.ones(7), seed=0)
    before = {name: value.clone() for name, value in network.named_buffers() if "running" in name}
    strategy = SimpleNamespace(reduce=lambda value, reduce_op: value + (reduce_op == "mean"))
    monkeypatch.setattr(LesionModule, "trainer", SimpleNamespace(world_size=3, strategy=strategy))
    module.on_validation_epoch_start()
    same = [torch.equal(value, network.get_buffer(name)) for name, value in before.items()]
    assert before
    assert all(same) if held else not any(same)


def test_the_lowest_layers_stay_as_they_are_and_the_others_learn(
    start: tuple[Path, dict[str, torch.Tensor]], drawn_folder: Path, tmp_path: Path
) -> None:
    path, before = start
    recipe = make_recipe(**KEYS, weights=str(path), freeze=1, freeze_layers=3, epochs=2, ema=0.9)
    after = features_of(train(recipe, drawn_folder, out=tmp_path / "run").path)
    held = ("conv1", "bn1", "layer1.", "layer2.")
    for name, values in before.items():
        if not name.endswith("num_batches_tracked"):
            assert torch.equal(values, after[name]) is name.startswith(held), name


@pytest.mark.parametrize("model", ["timm:test_vit", "timm:test_resnet", "small"])
def test_no_layer_above_those_asked_for_is_held(model: str) -> None:
    network = create_model(model, num_classes=7, image_size=(160, 160), drop_rate=0.0)
    recipe = make_recipe(model=model, image_size=[160, 160], freeze_layers=1)
    module = LesionModule(network, recipe, torch.ones(7), seed=0)
    LowestLayers(1).on_train_epoch_start(L.Trainer(logger=False, enable_checkpointing=False), module)
    held = {name for name, weight in network.named_parameters() if not weight.requires_grad}
    assert held == lowest_layers(network, 1)
    assert network.head.training


def test_some_layer_must_be_left_to_learn() -> None:
    network = create_model("timm:test_resnet", num_classes=7, image_size=(32, 32), drop_rate=0.0)
    assert len(lowest_layers(network, 1)) < len(lowest_layers(network, 4))
    with pytest.raises(RecipeError, match="fewer than the 5 layers of the network but got 5"):
        lowest_layers(network, 5)


def averaged(decay: float, values: list[float]) -> float:
    """Return what Lightning's callback makes of a weight that takes these values."""
    layer = nn.Linear(1, 1, bias=False)
    kwargs = weight_averaging(decay)._kwargs  # noqa: SLF001 (what Lightning hands to PyTorch)
    model = AveragedModel(layer, use_buffers=True, **kwargs)
    for value in values:
        nn.init.constant_(layer.weight, value)
        model.update_parameters(layer)
    (weight,) = model.module.parameters()
    return float(weight.detach())


def test_the_average_is_the_warmed_exponential_one() -> None:
    values = [float(value) for value in torch.randn(200, generator=torch.Generator().manual_seed(0))]
    expected = values[0]
    for taken, value in enumerate(values[1:], 1):
        decay = min(0.97, (1 + taken) / (10 + taken))
        expected = expected * decay + value * (1 - decay)
    assert abs(averaged(0.97, values) - expected) < 1e-4


def test_a_short_run_forgets_where_it_started() -> None:
    assert averaged(0.998, [100.0] + [1.0] * 200) < 1.01


def test_the_recipe_key_changes_the_weights_that_are_kept(drawn_folder: Path, tmp_path: Path) -> None:
    kept = []
    for ema in (0.0, 0.9):
        run = train(make_recipe(epochs=1, ema=ema), drawn_folder, out=tmp_path / str(ema))
        kept.append(torch.load(run.checkpoints / "last.ckpt", weights_only=True)["state_dict"])
    assert not torch.equal(kept[0]["network.head.linear.weight"], kept[1]["network.head.linear.weight"])
