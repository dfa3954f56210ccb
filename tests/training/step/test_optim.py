import pytest

from conftest import make_recipe
from lesionwise.models.network import Network
from lesionwise.models.registry import create_model
from lesionwise.training.step.optim import lr_scales, make_optimizer, make_schedule


def network_of(model: str = "timm:test_resnet") -> Network:
    return create_model(model, num_classes=7, image_size=(64, 64), drop_rate=0.0)


def test_the_features_learn_at_their_own_rate() -> None:
    network = network_of()
    optimizer = make_optimizer(network, make_recipe(optimizer="adamw", lr=1e-2, lr_features=0.2))
    rates = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    for name, weight in network.named_parameters():
        assert rates[id(weight)] == pytest.approx(1e-2 if name.startswith("head.") else 2e-3)


def test_each_layer_below_learns_slower() -> None:
    scales = lr_scales(network_of(), make_recipe(lr_features=0.5, layer_decay=0.1))
    assert scales["head.linear.weight"] == 1
    assert scales["features.body.layer4.0.conv1.weight"] == pytest.approx(0.5)
    assert scales["features.body.layer3.0.conv1.weight"] == pytest.approx(0.05)


def test_every_weight_is_in_one_group_and_only_matrices_decay() -> None:
    network = network_of("small")
    for keys in ({}, {"lr_features": 0.3, "layer_decay": 0.7}):
        groups = make_optimizer(
            network, make_recipe(optimizer="adamw", weight_decay=0.1, **keys)
        ).param_groups
        members = [p for group in groups for p in group["params"]]
        assert sorted(map(id, members)) == sorted(map(id, network.parameters()))
        assert all((p.ndim > 1) == bool(group["weight_decay"]) for group in groups for p in group["params"])
    assert len(make_optimizer(network, make_recipe()).param_groups) == 2


def test_one_cycle_rises_to_each_groups_own_rate() -> None:
    recipe = make_recipe(optimizer="adamw", lr=1e-2, lr_features=0.2, schedule="one_cycle", warmup=0.5)
    optimizer = make_optimizer(network_of(), recipe)
    schedule = make_schedule(optimizer, recipe, steps=10)
    assert schedule
    seen = []
    for _ in range(9):
        optimizer.step()
        schedule["scheduler"].step()
        seen.append([group["lr"] for group in optimizer.param_groups])
    highest = [max(rates) for rates in zip(*seen, strict=True)]
    assert highest == pytest.approx([1e-2, 1e-2, 2e-3, 2e-3])


def test_the_cosine_leaves_each_group_as_much_slower_as_it_was() -> None:
    recipe = make_recipe(
        optimizer="adamw", lr=1e-4, lr_features=0.1, layer_decay=0.5, schedule="cosine", min_lr=1e-5
    )
    optimizer = make_optimizer(network_of(), recipe)
    schedule = make_schedule(optimizer, recipe, steps=8)
    assert schedule
    before = [group["lr"] for group in optimizer.param_groups]
    middle = []
    for step in range(8):
        if step == 4:
            middle = [group["lr"] for group in optimizer.param_groups]
        optimizer.step()
        schedule["scheduler"].step()
    after = [group["lr"] for group in optimizer.param_groups]
    assert after == pytest.approx([rate / 10 for rate in before])
    assert middle == pytest.approx([rate * 0.55 for rate in before])


@pytest.mark.parametrize(("warmup", "steps"), [(0.1, 10), (0.2, 5), (0.05, 20)])
def test_one_cycle_can_rise_for_a_single_step(warmup: float, steps: int) -> None:
    recipe = make_recipe(optimizer="adamw", lr=1e-2, schedule="one_cycle", warmup=warmup)
    optimizer = make_optimizer(network_of(), recipe)
    schedule = make_schedule(optimizer, recipe, steps=steps)
    assert schedule
    rates = [optimizer.param_groups[0]["lr"]]
    for _ in range(steps - 1):
        optimizer.step()
        schedule["scheduler"].step()
        rates.append(optimizer.param_groups[0]["lr"])
    assert rates[0] == pytest.approx(1e-2 / 25)
    assert max(rates) == pytest.approx(1e-2, rel=0.2)
    assert rates[-1] < 1e-6
