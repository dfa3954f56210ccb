import math

import numpy as np
import pytest
import torch
from torch import nn

from conftest import make_recipe
from lesionwise.models.network import Network, PooledHead
from lesionwise.models.registry import create_model
from lesionwise.recipe import Recipe
from lesionwise.training.step.datamodule import Batch, ImageRows, channel_statistics
from lesionwise.training.step.losses import consistency_loss
from lesionwise.training.step.module import LesionModule
from lesionwise.training.step.optim import make_optimizer, make_schedule


def module_and_batch(recipe: Recipe) -> tuple[LesionModule, Batch]:
    rng = np.random.default_rng(0)
    y = np.arange(16) % 7
    pixels = rng.integers(0, 255, (16, *recipe.image_size, 3)).astype(np.uint8)
    torch.manual_seed(0)
    network = create_model(recipe.model, num_classes=7, image_size=recipe.crop_size, drop_rate=0.0)
    network.set_statistics(*channel_statistics(pixels, np.arange(16)))
    module = LesionModule(network, recipe, torch.ones(7), seed=0)
    return module, ImageRows(pixels, y, np.arange(16)).__getitems__(list(range(16)))


@pytest.mark.parametrize("model", ["small", "seed-cnn"])
def test_the_first_loss_is_near_that_of_a_model_that_knows_nothing(
    model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, batch = module_and_batch(make_recipe(model=model))
    monkeypatch.setattr(LesionModule, "current_epoch", 0)
    loss = module.training_step(batch, 0).item()
    assert abs(loss - math.log(7)) < 0.5


@pytest.mark.parametrize("model", ["small", "seed-cnn"])
def test_a_network_can_learn_one_batch_by_heart(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module, batch = module_and_batch(make_recipe(model=model, lr=3e-3))
    for layer in module.modules():
        if isinstance(layer, nn.Dropout):
            layer.p = 0.0
    monkeypatch.setattr(LesionModule, "current_epoch", 0)
    optimizer = make_optimizer(module.network, module.recipe)
    for _ in range(60):
        optimizer.zero_grad()
        loss = module.training_step(batch, 0)
        torch.autograd.backward(loss)
        optimizer.step()
    assert loss.item() < 0.05


def test_views_share_target_and_metadata_and_only_their_difference_is_consistency(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(LesionModule, "current_epoch", 0)
    recipe = make_recipe(views=2, rotation=90, label_smoothing=0.1)
    module, batch = module_and_batch(recipe)
    module.eval()
    seen, targets = module.changed(batch, torch.eye(7)[batch.y], 0)
    assert seen.shape == (32, 3, 24, 32)
    assert torch.equal(targets[:16], targets[16:])
    assert not torch.allclose(seen[:16], seen[16:], atol=0.01)
    logits = module.network(seen)
    plain = module.training_step(batch, 0)
    torch.testing.assert_close(plain, module.loss(logits, targets))
    module.recipe = recipe.model_copy(update={"consistency": 3.0})
    torch.testing.assert_close(
        module.training_step(batch, 0) - plain, 3 * consistency_loss(torch.stack([logits[:16], logits[16:]]))
    )


def test_views_that_nothing_changes_are_alike_and_cost_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LesionModule, "current_epoch", 0)
    losses = []
    for keys in ({}, {"views": 2, "consistency": 5.0}):
        module, batch = module_and_batch(make_recipe(**keys))
        losses.append(module.eval().training_step(batch, 0))
    torch.testing.assert_close(*losses)


def test_channel_statistics_are_those_of_the_rows_asked_for_alone() -> None:
    pixels = np.random.default_rng(1).integers(0, 255, (8, 40, 40, 3)).astype(np.uint8)
    mean, std = channel_statistics(pixels, np.array([1, 5]))
    thinned = pixels[[1, 5], ::4, ::4].reshape(-1, 3) / 255
    np.testing.assert_allclose(mean, thinned.mean(0), atol=1e-5)
    np.testing.assert_allclose(std, thinned.std(0), atol=1e-5)
    pixels[0] = 0
    assert torch.equal(channel_statistics(pixels, np.array([1, 5]))[0], mean)


def learning_rates(recipe: Recipe, steps: int) -> list[float]:
    layer = Network(nn.Conv2d(3, 2, 1), PooledHead(2, 2))
    optimizer = make_optimizer(layer, recipe)
    schedule = make_schedule(optimizer, recipe, steps=steps)
    assert schedule is not None
    rates = []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule["scheduler"].step(*([0.5] if recipe.schedule == "plateau" else []))
    return rates


def test_one_cycle_rises_to_the_rate_and_falls_to_almost_nothing() -> None:
    rates = learning_rates(make_recipe(schedule="one_cycle", lr=0.1, warmup=0.25), 100)
    assert abs(int(np.argmax(rates)) - 24) <= 1
    assert max(rates) == pytest.approx(0.1)
    assert rates[-1] < 1e-4


def test_cosine_falls_from_the_rate_to_its_floor() -> None:
    rates = learning_rates(make_recipe(schedule="cosine", lr=0.1, min_lr=1e-3), 50)
    assert rates[0] == pytest.approx(0.1)
    assert rates == sorted(rates, reverse=True)
    assert rates[-1] < 2e-3


def test_a_plateau_halves_the_rate_after_its_patience_down_to_its_floor() -> None:
    recipe = make_recipe(schedule="plateau", lr=1e-3, plateau_patience=3, plateau_factor=0.5, min_lr=1e-4)
    rates = learning_rates(recipe, 40)
    assert rates[:4] == [1e-3] * 4  # the first is the best, the next three are the patience, as in Keras
    assert rates[4] == pytest.approx(5e-4)
    assert rates[-1] == pytest.approx(1e-4)


def test_a_constant_rate_has_no_schedule() -> None:
    recipe = make_recipe(schedule="constant")
    assert (
        make_schedule(make_optimizer(Network(nn.Conv2d(3, 2, 1), PooledHead(2, 2)), recipe), recipe, steps=10)
        is None
    )


@pytest.mark.parametrize("name", ["adam", "adamw", "sgd"])
def test_biases_and_norms_are_not_decayed(name: str) -> None:
    network = create_model("small", num_classes=7, image_size=(24, 32), drop_rate=0.0)
    decayed, spared = make_optimizer(network, make_recipe(optimizer=name, weight_decay=0.1)).param_groups
    assert decayed["weight_decay"] == 0.1
    assert spared["weight_decay"] == 0.0
    assert all(parameter.ndim == 1 for parameter in spared["params"])
    assert len(decayed["params"]) + len(spared["params"]) == len(list(network.parameters()))
