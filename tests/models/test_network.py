import pytest
import torch

from lesionwise.models.network import VIEWS, turn, turn_back
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


@pytest.mark.parametrize("count", VIEWS)
def test_the_views_differ_and_can_be_turned_back(count: int) -> None:
    images = torch.rand(2, 3, 5, 5)
    seen = [turn(images, view) for view in VIEWS[count]]
    assert len({tuple(view.flatten().tolist()) for view in seen}) == count
    for view, turned in zip(VIEWS[count], seen, strict=True):
        assert torch.equal(turn_back(turned, view), images)


@pytest.mark.parametrize(("count", "size"), [(2, (32, 48)), (4, (32, 48)), (8, (32, 32))])
def test_with_views_an_answer_does_not_depend_on_how_the_image_lies(
    count: int, size: tuple[int, int]
) -> None:
    network = create_model("small", num_classes=7, image_size=size, drop_rate=0.0).eval()
    images = torch.rand(2, 3, *size)
    assert not torch.allclose(network(images), network(images.flip(3)), atol=1e-4)
    network.views = count
    for view in VIEWS[count]:
        torch.testing.assert_close(network(images), network(turn(images, view)), rtol=1e-4, atol=1e-5)


def test_views_average_the_logits_and_keep_the_maps_exact_and_in_place() -> None:
    network = create_model("small", num_classes=7, image_size=(32, 48), drop_rate=0.0).eval()
    images = torch.rand(2, 3, 32, 48)
    each = torch.stack([network(turn(images, view)) for view in VIEWS[4]])
    single = network.outputs(images).cam
    network.views = 4
    outputs = network.outputs(images)
    torch.testing.assert_close(outputs.logits, each.mean(0), rtol=1e-4, atol=1e-5)
    assert outputs.cam is not None
    assert single is not None
    assert outputs.cam.shape == single.shape
    torch.testing.assert_close(outputs.cam.mean((2, 3)), outputs.logits, rtol=1e-4, atol=1e-5)
    flipped = network.outputs(images.flip(3)).cam
    assert flipped is not None
    torch.testing.assert_close(flipped.flip(3), outputs.cam, rtol=1e-4, atol=1e-5)
