import pytest
import torch

from lesionwise.models.registry import create_model
from lesionwise.training.hardware import choose_precision


@pytest.mark.parametrize(
    ("model", "amx", "expected"),
    [
        ("small", False, "bf16-mixed"),
        ("timm:mobilenetv2_050", False, "32-true"),
        ("timm:mobilenetv2_050", True, "bf16-mixed"),
    ],
)
def test_depthwise_networks_train_in_fp32_where_bf16_is_slower(
    model: str, *, amx: bool, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx, raising=False)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True, raising=False)
    network = create_model(model, num_classes=7, image_size=(32, 32), drop_rate=0.0)
    assert choose_precision("cpu", network) == expected
