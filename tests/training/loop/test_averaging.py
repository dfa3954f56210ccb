from pathlib import Path

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from conftest import make_recipe
from lesionwise.training.loop.averaging import weight_averaging
from lesionwise.training.run import train


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
