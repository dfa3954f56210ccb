import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from conftest import make_recipe
from lesionwise.training.step.mixing import mix

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
