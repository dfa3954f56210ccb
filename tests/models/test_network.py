import pytest
import torch
from torch.nn import functional as F

from lesionwise.models.dropout import Dropout
from lesionwise.models.registry import MODELS, create_model

SIZE = (48, 64)


@pytest.mark.parametrize("name", MODELS)
def test_outputs_agree_with_forward_and_the_last_layer_makes_logits_of_the_embedding(name: str) -> None:
    network = create_model(name, num_classes=7, image_size=SIZE, drop_rate=0.2).eval()
    images = torch.rand(2, 3, *SIZE)
    logits, embedding, _ = network.outputs(images)
    torch.testing.assert_close(logits, network(images))
    torch.testing.assert_close(network.head.linear(embedding), logits)


def test_the_mean_of_an_activation_map_is_the_logit_and_only_pooled_heads_have_one() -> None:
    images = torch.rand(2, 3, *SIZE)
    logits, _, cam = (
        create_model("small", num_classes=7, image_size=SIZE, drop_rate=0.2).eval().outputs(images)
    )
    assert cam is not None
    assert cam.shape == (2, 7, 3, 4)
    torch.testing.assert_close(cam.mean((2, 3)), logits, atol=1e-5, rtol=1e-4)
    assert create_model("seed-cnn", num_classes=7, image_size=SIZE, drop_rate=0).outputs(images).cam is None


@pytest.mark.parametrize("rate", [0.1, 0.25, 0.4])
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_dropout_zeroes_at_the_rate_scales_the_rest_and_is_a_function_of_the_seed(
    rate: float, memory_format: torch.memory_format
) -> None:
    x = (torch.rand(8, 16, 37, 51) + 0.5).to(memory_format=memory_format).requires_grad_()
    torch.manual_seed(3)
    y = Dropout(rate)(x)
    zero = y == 0
    spread = (rate * (1 - rate) / x.numel()) ** 0.5
    assert abs(float(zero.float().mean()) - rate) < 5 * spread
    torch.testing.assert_close(y[~zero], x[~zero] / (1 - rate))
    torch.manual_seed(3)
    assert torch.equal(Dropout(rate)(x), y)
    y.sum().backward()
    torch.testing.assert_close(x.grad, (~zero) / (1 - rate))


def test_dropout_drops_neighbours_independently() -> None:
    torch.manual_seed(0)
    zero = (Dropout(0.25)(torch.ones(4, 400_000)) == 0).float()
    pairs = [(zero[:, lag:] * zero[:, : zero.shape[1] - lag]).mean() for lag in (1, 2, 3, 4, 5, 8)]
    assert max(abs(float(pair) - 0.0625) for pair in pairs) < 5 * (0.0625 / zero.numel()) ** 0.5


def test_dropout_is_the_identity_in_evaluation_and_torchs_own_on_other_layouts() -> None:
    x = torch.rand(6, 9)
    assert torch.equal(Dropout(0.4).eval()(x), x)
    torch.manual_seed(1)
    ours = Dropout(0.4)(x.t())
    torch.manual_seed(1)
    assert torch.equal(ours, F.dropout(x.t(), 0.4))
