import pytest
import torch
from torch import Tensor, nn

from lesionwise.errors import RunError
from lesionwise.explain.cam import Method, choose_method, class_maps
from lesionwise.models.network import DenseHead, Network, PooledHead
from lesionwise.models.registry import MODELS, PRETRAINED, create_model

SIZE = (64, 96)
ALL = [*MODELS, *PRETRAINED]


def _network(name: str) -> Network:
    torch.manual_seed(0)
    return create_model(name, num_classes=7, image_size=SIZE, drop_rate=0.1).eval()


def test_each_architecture_is_explained_in_the_way_that_fits_it() -> None:
    methods = {name: choose_method(_network(name), SIZE) for name in ALL}
    assert methods == {
        "small": Method.cam,
        "seed-cnn": Method.grad_cam,
        "seed-cnn-256": Method.grad_cam,
        "seed-vgg16": Method.grad_cam,
        "seed-mlp": Method.hires_cam,
    }
    pooled = create_model("timm:resnet10t", num_classes=7, image_size=SIZE, drop_rate=0)
    assert choose_method(pooled, SIZE) is Method.cam


@pytest.mark.parametrize("name", ALL)
def test_the_layer_explained_is_the_last_that_has_places(name: str) -> None:
    network = _network(name)
    shapes: list[tuple[str, tuple[int, ...]]] = []
    handles = [
        module.register_forward_hook(
            lambda _m, _i, out, title=title: shapes.append((title, tuple(out.shape)))
        )
        for title, module in network.named_modules()
        if isinstance(module, nn.Module) and title not in {"", "features"}
    ]
    network(torch.rand(1, 3, *SIZE))
    for handle in handles:
        handle.remove()
    placed = [
        title for title, shape in shapes if len(shape) == 4 and shape[1] * shape[2] * shape[3] > shape[1]
    ]
    assert placed[-1].startswith("features.")
    assert not [title for title in placed if title.startswith("head.")]
    images, classes = torch.rand(2, 3, *SIZE), torch.tensor([4, 5])
    maps = class_maps(network, images, classes, choose_method(network, SIZE))
    features = network.features((images - network.mean) / network.std)
    places = features.shape[1:3] if name == "seed-mlp" else features.shape[2:]
    assert maps.shape == (2, *places)


def test_an_exact_map_adds_up_to_the_logit_above_the_mean_logit() -> None:
    network = _network("small")
    images, classes = torch.rand(3, 3, *SIZE), torch.tensor([0, 4, 6])
    maps = class_maps(network, images, classes, Method.cam)
    logits = network(images)
    expected = logits[torch.arange(3), classes] - logits.mean(1)
    torch.testing.assert_close(maps.mean((1, 2)), expected, atol=1e-5, rtol=1e-4)


def test_grad_cam_under_a_pooled_head_is_the_exact_map_up_to_a_factor() -> None:
    network = _network("small")
    network.head.linear.bias.data.zero_()
    images, classes = torch.rand(2, 3, *SIZE), torch.tensor([1, 4])
    exact = class_maps(network, images, classes, Method.cam)
    by_gradient = class_maps(network, images, classes, Method.grad_cam)
    torch.testing.assert_close(by_gradient * exact[0].numel(), exact, atol=1e-4, rtol=1e-3)


def test_hires_cam_of_a_linear_head_adds_up_to_the_logit() -> None:
    torch.manual_seed(0)
    pixelwise = nn.Sequential(nn.Conv2d(3, 5, 1), nn.ReLU())

    class Last(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.permute(0, 2, 3, 1)

    network = Network(nn.Sequential(pixelwise, Last()), DenseHead(nn.Flatten(), 5 * 8 * 8, 7)).eval()
    network.head.linear.bias.data.zero_()
    images, classes = torch.rand(2, 3, 8, 8), torch.tensor([2, 3])
    assert choose_method(network, (8, 8)) is Method.hires_cam
    logits = network(images)
    expected = logits[torch.arange(2), classes] - logits.mean(1)
    torch.testing.assert_close(class_maps(network, images, classes, Method.hires_cam).sum((1, 2)), expected)


def test_a_frozen_network_is_explained_too() -> None:
    network = _network("seed-cnn").requires_grad_(requires_grad=False)
    maps = class_maps(network, torch.rand(1, 3, *SIZE), torch.tensor([4]), Method.grad_cam)
    assert float(maps.abs().sum()) > 0


def test_the_map_lies_where_the_evidence_is(red_is_melanoma: Network) -> None:
    images = torch.zeros(1, 3, 16, 16)
    images[0, 0, :4, 8:12] = 1  # red, at the place in row 0 and column 2
    images[0, 2, 12:, :4] = 1  # blue, in row 3 and column 0
    melanoma, nevus = (
        class_maps(red_is_melanoma, images, torch.tensor([index]), Method.cam)[0] for index in (4, 5)
    )
    assert divmod(int(melanoma.argmax()), 4) == (0, 2)
    assert divmod(int(nevus.argmax()), 4) == (3, 0)
    assert melanoma[3, 0] < 0  # what speaks for nevus speaks against melanoma


def test_features_without_places_are_refused() -> None:
    network = Network(nn.Flatten(), DenseHead(nn.Identity(), 3 * 8 * 8, 7))
    with pytest.raises(RunError, match="features with places"):
        choose_method(network, (8, 8))
    with pytest.raises(ValueError, match="exact maps"):
        class_maps(network, torch.rand(1, 3, 8, 8), torch.tensor([0]), Method.cam)
    assert isinstance(_network("small").head, PooledHead)
