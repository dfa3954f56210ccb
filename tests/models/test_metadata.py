import pytest
import torch

from lesionwise.models.network import MetadataTerm, Network
from lesionwise.models.registry import create_model

SIZE = (48, 64)


def told_network(hidden: int = 8) -> Network:
    """A network with random weights that listens to six numbers."""
    torch.manual_seed(0)
    network = create_model("small", num_classes=7, image_size=SIZE, drop_rate=0.2)
    network.metadata = MetadataTerm(6, 7, hidden=hidden)
    torch.nn.init.normal_(network.metadata.linear.weight)
    return network.eval()


@pytest.mark.parametrize("hidden", [0, 8])
def test_metadata_are_added_to_the_logits_and_leave_the_map_to_the_image(hidden: int) -> None:
    network, images, metadata = told_network(hidden), torch.rand(2, 3, *SIZE), torch.rand(2, 6)
    alone, told = network.outputs(images), network.outputs(images, metadata)
    assert network.metadata is not None
    torch.testing.assert_close(told.logits, alone.logits + network.metadata(metadata))
    torch.testing.assert_close(network(images, metadata), told.logits)
    assert told.cam is not None
    assert alone.cam is not None
    assert torch.equal(told.cam, alone.cam)
    torch.testing.assert_close(told.cam.mean((2, 3)), alone.logits, atol=1e-5, rtol=1e-4)
    assert (told.logits - alone.logits).abs().max() > 0.01


def test_nothing_known_adds_nothing() -> None:
    network, images = told_network(), torch.rand(2, 3, *SIZE)
    assert torch.equal(network(images), network(images, torch.zeros(2, 6)))


def test_a_fresh_term_starts_from_what_the_image_says() -> None:
    network = told_network()
    network.metadata = MetadataTerm(6, 7)
    images = torch.rand(2, 3, *SIZE)
    assert torch.equal(network(images), network(images, torch.rand(2, 6)))


def test_a_network_of_images_alone_takes_no_metadata_and_has_no_weights_for_them() -> None:
    network = create_model("small", num_classes=7, image_size=SIZE, drop_rate=0.2).eval()
    assert not [name for name in network.state_dict() if name.startswith("metadata")]
    with pytest.raises(ValueError, match="a model of images alone"):
        network(torch.rand(1, 3, *SIZE), torch.zeros(1, 6))


@pytest.mark.parametrize("views", [4, 8])
def test_metadata_are_added_once_however_many_views_there_are(views: int) -> None:
    network, images, metadata = told_network(), torch.rand(2, 3, 64, 64), torch.rand(2, 6)
    network.views = views
    assert network.metadata is not None
    torch.testing.assert_close(
        network(images, metadata), network(images) + network.metadata(metadata), atol=1e-5, rtol=1e-4
    )
