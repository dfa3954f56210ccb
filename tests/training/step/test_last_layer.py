from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import save_file

from conftest import StopAfter, make_recipe
from lesionwise.execution import Execution
from lesionwise.models.registry import create_model
from lesionwise.recipe import Recipe
from lesionwise.run_folder import RunFolder
from lesionwise.training import features, fit
from lesionwise.training.features import are_constant
from lesionwise.training.run import train
from lesionwise.training.step import module
from lesionwise.training.step.augment import augment, evaluation_view

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
