from pathlib import Path
from time import sleep

import pytest
import torch
from torch import Tensor, nn

from conftest import make_recipe
from lesionwise.files import read_json
from lesionwise.training import fit
from lesionwise.training.loop import hardware
from lesionwise.training.loop.hardware import choose_precision
from lesionwise.training.run import train


class Slower(nn.Module):
    """A layer whose step takes longer in one number format."""

    def __init__(self, slow: torch.dtype) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, 2, 3)
        self.normal = nn.BatchNorm2d(2)
        self.slow = slow

    def forward(self, images: Tensor) -> Tensor:
        found: Tensor = self.layer(images)
        sleep(0.1 if found.dtype == self.slow else 0.03)
        normal: Tensor = self.normal(found)
        return normal


@pytest.fixture(autouse=True)
def nothing_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "_MEASURED", {})


@pytest.mark.parametrize(
    ("slow", "expected"), [(torch.bfloat16, "32-true"), (torch.float32, "bf16-mixed")], ids=["bf16", "fp32"]
)
def test_a_processor_with_bf16_trains_in_what_is_faster(
    slow: torch.dtype, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hardware, "_has_bf16", lambda: True)
    network = Slower(slow)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    generator = torch.get_rng_state()
    assert choose_precision("cpu", network, (16, 8, 8)) == expected
    assert all(value.equal(before[name]) for name, value in network.state_dict().items())
    assert all(weight.grad is None for weight in network.parameters())
    assert torch.get_rng_state().equal(generator)


@pytest.mark.parametrize(
    ("plain", "bf16", "expected"),
    [(1.0, 0.95, "32-true"), (1.0, 0.8, "bf16-mixed"), (0.05, 0.02, "32-true")],
    ids=["small gain", "large gain", "short steps"],
)
def test_only_a_gain_that_matters_is_worth_fewer_bits(
    plain: float, bf16: float, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hardware, "_has_bf16", lambda: True)
    monkeypatch.setattr(hardware, "_shortest_steps", lambda *_: (plain, bf16))
    assert choose_precision("cpu", nn.Identity(), (16, 8, 8)) == expected


def test_a_processor_without_bf16_is_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "_has_bf16", lambda: False)
    monkeypatch.setattr(hardware, "_shortest_steps", lambda *_: pytest.fail("it was measured"))
    assert choose_precision("cpu", Slower(torch.float32), (16, 8, 8)) == "32-true"


def test_a_resumed_training_keeps_its_precision(
    tmp_path: Path, drawn_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fit, "choose_precision", lambda *_: "bf16-mixed")
    run = train(make_recipe(epochs=1), drawn_folder, out=tmp_path / "run")
    monkeypatch.setattr(fit, "choose_precision", lambda *_: pytest.fail("it was chosen again"))
    train(make_recipe(epochs=2), drawn_folder, out=run.path, resume=True)
    assert read_json(run.timing)["train"]["precision"] == "bf16"


def test_a_recipe_can_name_its_precision(
    tmp_path: Path, drawn_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fit, "choose_precision", lambda *_: pytest.fail("it was chosen"))
    run = train(make_recipe(epochs=1, precision="bf16"), drawn_folder, out=tmp_path / "run")
    assert read_json(run.timing)["train"]["precision"] == "bf16"


def test_folds_of_one_process_share_the_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "_has_bf16", lambda: True)
    measured = iter([(1.0, 0.5), (1.0, 2.0)])
    monkeypatch.setattr(hardware, "_shortest_steps", lambda *_: next(measured))
    chosen = [choose_precision("cpu", nn.Linear(2, 2), (16, size, 8)) for size in (8, 8, 9)]
    assert chosen == ["bf16-mixed", "bf16-mixed", "32-true"]


def test_a_network_with_long_steps_is_measured_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "_has_bf16", lambda: True)
    monkeypatch.setattr(hardware, "_TRIAL_SECONDS", 0.05)
    network = Slower(torch.bfloat16)
    steps = []
    network.layer.register_forward_hook(lambda *_: steps.append(1))
    assert choose_precision("cpu", network, (16, 8, 8)) == "32-true"
    assert len(steps) <= 2  # a copy of the network shares the hook


def test_another_device_chooses_anew(
    tmp_path: Path, drawn_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fit, "choose_precision", lambda *_: "bf16-mixed")
    run = train(make_recipe(epochs=1), drawn_folder, out=tmp_path / "run")
    for path in (run.last, run.best):
        checkpoint = torch.load(path, weights_only=True)
        assert checkpoint["precision"] == {"cpu": "bf16-mixed"}
        torch.save({**checkpoint, "precision": {"cuda": "bf16-mixed"}}, path)
    monkeypatch.setattr(fit, "choose_precision", lambda *_: "32-true")
    train(make_recipe(epochs=2), drawn_folder, out=run.path, resume=True)
    assert read_json(run.timing)["train"]["precision"] == "fp32"
