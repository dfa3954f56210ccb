import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from conftest import StopAfter, make_recipe
from lesionwise.execution import Execution
from lesionwise.models.network import Network, PooledHead
from lesionwise.models.registry import create_model
from lesionwise.recipe import Recipe
from lesionwise.run_folder import RunFolder
from lesionwise.training import features, fit
from lesionwise.training.features import are_constant
from lesionwise.training.run import train
from lesionwise.training.step import module
from lesionwise.training.step.augment import augment, evaluation_view
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


HELD = {
    "model": "timm:test_resnet", "image_size": [32, 32], "freeze": "all", "lr": 1e-2, "epochs": 3,
    "drop_rate": 0.2, "batch_size": 16,
}  # fmt: skip


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> str:
    torch.manual_seed(3)
    network = create_model("timm:test_resnet", num_classes=7, image_size=(32, 32), drop_rate=0.0)
    body = network.features.get_submodule("body")
    path = tmp_path_factory.mktemp("weights") / "start.safetensors"
    save_file(body.state_dict(), path, {"mean": "0.5,0.5,0.5", "std": "0.2,0.2,0.2"})
    return str(path)


@pytest.fixture(scope="module")
def recipe(start: str) -> Recipe:
    return make_recipe(**HELD, weights=start, metadata=["age", "sex"])


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("known")


@pytest.fixture(scope="module")
def known(recipe: Recipe, root: Path, drawn_folder: Path) -> Iterator[RunFolder]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fit, "choose_precision", lambda *_: "32-true")  # kept features have full precision
        yield train(recipe, drawn_folder, out=root / "run", execution=Execution(cache_root=root / "cache"))


def test_known_embeddings_train_the_same_last_layer(
    known: RunFolder, recipe: Recipe, drawn_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for place in (features, fit):
        monkeypatch.setattr(place, "are_constant", lambda _recipe: False)
    computed = train(recipe, drawn_folder, out=tmp_path / "computed")
    for part in ("val", "cal"):
        first, second = (pd.read_csv(run.predictions(part)) for run in (known, computed))
        numbers = [name for name in first.columns if name.startswith("logit_")]
        np.testing.assert_allclose(first[numbers], second[numbers], rtol=1e-3, atol=1e-4)
    first, second = (pd.read_csv(run.history) for run in (known, computed))
    np.testing.assert_allclose(first["train_loss"], second["train_loss"], rtol=1e-4)
    np.testing.assert_allclose(first["val_loss"], second["val_loss"], rtol=1e-4)
    for part in ("train", "cal"):
        kept, anew = (np.load(run.embeddings(part)) for run in (known, computed))
        np.testing.assert_allclose(kept, anew, atol=1e-4)


def test_a_second_run_computes_none_of_them_and_resumes_as_the_first_went_on(
    known: RunFolder, recipe: Recipe, drawn_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("an image was looked at")

    monkeypatch.setattr(features, "_compute", refuse)
    monkeypatch.setattr(module, "augment", refuse)
    monkeypatch.setattr(module, "evaluation_view", refuse)
    out, execution = tmp_path / "stopped", Execution(cache_root=known.path.parent / "cache")
    with pytest.raises(KeyboardInterrupt):
        train(recipe, drawn_folder, out=out, execution=replace(execution, progress=StopAfter(1)))
    resumed = train(recipe, drawn_folder, out=out, resume=True, execution=execution)
    assert resumed.predictions("cal").read_bytes() == known.predictions("cal").read_bytes()


CHANGED = [
    {"rotation": 10}, {"zoom": [0.9, 1.1]}, {"zoom": [1.2, 1.2]}, {"shift": 0.1}, {"aspect": 0.1},
    {"flip": True}, {"blur": 0.1}, {"jpeg": 40}, {"noise": 0.1}, {"brightness": 0.2},
    {"contrast": 0.2}, {"color": 0.1},
    {"train_size": [24, 24]}, {"eval_size": [24, 24]}, {"eval_zoom": 1.3},
]  # fmt: skip


@pytest.mark.parametrize("keys", CHANGED, ids=str)
def test_embeddings_are_known_only_where_training_sees_what_evaluation_sees(keys: dict[str, object]) -> None:
    images = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), np.uint8))
    plain, changed = (make_recipe(**HELD, weights="published", **more) for more in ({}, keys))
    assert are_constant(plain)
    assert not are_constant(changed)
    seen, looked_at = (
        (augment(images, recipe, seed=0, epoch=0, samples=range(4)), evaluation_view(images, recipe))
        for recipe in (plain, changed)
    )
    torch.testing.assert_close(*seen, rtol=0, atol=1e-5)
    assert looked_at[0].shape != looked_at[1].shape or not torch.allclose(*looked_at, atol=1e-3)


def test_no_key_that_changes_images_is_forgotten() -> None:
    keys = list(Recipe.model_fields)
    of_augmentation = {*keys[keys.index("rotation") : keys.index("calibration")]}
    harmless_alone = {"zoom_apart", "fill", "consistency"}  # which needs views
    assert set(features._CHANGES) == of_augmentation - harmless_alone | {"mixup", "cutmix"}  # noqa: SLF001


@pytest.mark.parametrize(
    "keys", [{"mixup": 0.2}, {"cutmix": 0.2}, {"views": 2}, {"tta": 4}, {"freeze": 2}], ids=str
)
def test_nor_are_they_known_of_mixed_images_of_views_or_of_features_that_learn(
    keys: dict[str, object],
) -> None:
    assert not are_constant(make_recipe(**{**HELD, "weights": "published", **keys}))
