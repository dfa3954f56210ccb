from pathlib import Path

import pytest
import torch

from lesionwise.models.registry import create_model
from lesionwise.training.loop import hardware
from lesionwise.training.loop.hardware import choose_precision


@pytest.mark.parametrize(
    ("model", "amx", "amd", "expected"),
    [
        ("small", False, True, "bf16-mixed"),
        ("small", False, False, "32-true"),
        ("small", True, False, "bf16-mixed"),
        ("timm:mobilenetv2_050", False, True, "32-true"),
        ("timm:mobilenetv2_050", True, False, "bf16-mixed"),
    ],
)
def test_networks_train_in_fp32_where_bf16_is_slower(
    model: str, *, amx: bool, amd: bool, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hardware, "_is_amd", lambda: amd)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx, raising=False)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True, raising=False)
    network = create_model(model, num_classes=7, image_size=(32, 32), drop_rate=0.0)
    assert choose_precision("cpu", network) == expected


def test_the_maker_of_a_processor_is_read_from_what_linux_says(tmp_path: Path) -> None:
    told = tmp_path / "cpuinfo"
    assert not hardware._is_amd(told)  # noqa: SLF001 (the rule is what is tested)
    for maker in ("AuthenticAMD", "GenuineIntel"):
        told.write_text(f"processor: 0\nvendor_id: {maker}\n")
        assert hardware._is_amd(told) == (maker == "AuthenticAMD")  # noqa: SLF001
