from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from conftest import make_recipe
from lesionwise.evaluation.predictions import read_predictions
from lesionwise.execution import Execution
from lesionwise.training.fit import load_best_network, predict_logits
from lesionwise.training.prepare import prepare
from lesionwise.training.run import train
from lesionwise.training.step.mixing import drop_metadata, mix

IMAGES = torch.arange(4).float().view(4, 1, 1, 1).expand(4, 3, 20, 30) / 4
TARGETS = F.one_hot(torch.tensor([0, 1, 2, 3]), 7).float()


def test_nothing_is_mixed_unless_the_recipe_asks() -> None:
    images, targets = mix(IMAGES, TARGETS, make_recipe(), seed=0, epoch=0, batch=0)
    assert images is IMAGES
    assert targets is TARGETS


@settings(deadline=None)
@given(batch=st.integers(0, 10_000), kind=st.sampled_from([{"mixup": 0.4}, {"cutmix": 1.0}]))
def test_targets_say_how_much_of_each_image_is_there(batch: int, kind: dict[str, float]) -> None:
    images, targets = mix(IMAGES, TARGETS, make_recipe(**kind), seed=0, epoch=0, batch=batch)
    torch.testing.assert_close(targets.sum(1), torch.ones(4))
    values = torch.tensor([0, 1, 2, 3, 0, 0, 0]) / 4  # the brightness that stands for each class
    torch.testing.assert_close(images.mean((1, 2, 3)), targets @ values, atol=1e-5, rtol=1e-5)


def test_mixing_is_a_function_of_seed_epoch_and_batch() -> None:
    recipe = make_recipe(mixup=0.4, cutmix=1.0)
    first = mix(IMAGES, TARGETS, recipe, seed=1, epoch=2, batch=3)
    again = mix(IMAGES, TARGETS, recipe, seed=1, epoch=2, batch=3)
    assert torch.equal(first[0], again[0])
    assert any(
        not torch.equal(first[1], mix(IMAGES, TARGETS, recipe, **place)[1])
        for place in ({"seed": 2, "epoch": 2, "batch": 3}, {"seed": 1, "epoch": 3, "batch": 3})
    )


def test_cutmix_pastes_one_box_and_leaves_the_rest() -> None:
    images, _ = mix(IMAGES, TARGETS, make_recipe(cutmix=1.0), seed=0, epoch=0, batch=5)
    changed = (images[0] != IMAGES[0]).all(0)
    rows, columns = changed.any(1), changed.any(0)
    assert changed.sum() == rows.sum() * columns.sum() > 0


METADATA = torch.rand(5_000, 3) + 0.1


def test_metadata_are_hidden_whole_of_the_wished_part_of_the_images() -> None:
    kept = drop_metadata(METADATA, 0.3, seed=1, epoch=2, samples=np.arange(5_000))
    hidden = ~kept.any(1)
    assert torch.equal(kept[~hidden], METADATA[~hidden])
    assert abs(float(hidden.float().mean()) - 0.3) < 0.03


def test_what_is_hidden_is_a_function_of_seed_epoch_and_sample() -> None:
    place = {"seed": 1, "epoch": 2}
    whole = drop_metadata(METADATA, 0.5, **place, samples=np.arange(100))
    assert torch.equal(drop_metadata(METADATA, 0.5, **place, samples=np.arange(50, 100)), whole[50:])
    for other in ({"seed": 2, "epoch": 2}, {"seed": 1, "epoch": 3}):
        assert not torch.equal(drop_metadata(METADATA, 0.5, **other, samples=np.arange(100)), whole)


@pytest.mark.parametrize("dropout", [0.0, 0.9999])
def test_without_dropout_all_are_told(dropout: float) -> None:
    kept = drop_metadata(METADATA, dropout, seed=0, epoch=0, samples=np.arange(50))
    assert torch.equal(kept, METADATA[:50] * (dropout == 0))


def test_a_network_learns_with_metadata_and_answers_without(drawn_folder: Path, tmp_path: Path) -> None:
    recipe = make_recipe(metadata=["age", "sex"], lr=0.01)
    run = train(
        recipe, drawn_folder, out=tmp_path / "run", execution=Execution(cache_root=tmp_path / "cache")
    )
    data = prepare(drawn_folder, recipe, split=run.split, execution=Execution(cache_root=tmp_path / "cache"))
    network, rows = load_best_network(run, recipe), data.rows("val")
    assert network.metadata is not None
    assert network.metadata.linear.weight.abs().max() > 0
    kept = data.metadata(recipe.metadata)
    found = predict_logits(network, recipe, data.pixels, rows, metadata=kept, device="cpu")
    stored = read_predictions(run.predictions("val")).logits
    assert stored is not None
    np.testing.assert_allclose(stored, found, atol=1e-4)
    alone = predict_logits(network, recipe, data.pixels, rows, device="cpu")
    assert np.isfinite(alone).all()
    assert np.abs(alone - found).max() > 1e-4
