import numpy as np
import pytest
import torch

from lesionwise.errors import RecipeError
from lesionwise.models.layers import LayerFeatures
from lesionwise.models.registry import TimmOptions, create_model

LAYERS = ("layer1.0.bn1", "layer3.0.act2")
SIZE = (48, 64)


def make(layers: tuple[str, ...] = LAYERS) -> object:
    shape = {"num_classes": 7, "image_size": SIZE, "drop_rate": 0.0}
    return create_model("timm:test_resnet", **shape, options=TimmOptions(layers=layers, directions=12))  # type: ignore[arg-type]


def test_features_are_the_mean_and_the_spread_of_the_named_layers() -> None:
    network = make().eval()  # type: ignore[attr-defined]
    features = network.features
    assert isinstance(features, LayerFeatures)
    seen: dict[str, torch.Tensor] = {}
    whole = create_model("timm:test_resnet", num_classes=7, image_size=SIZE, drop_rate=0.0).eval()
    body = whole.features.get_submodule("body")
    shared = {name: value for name, value in body.state_dict().items() if name in features.body.state_dict()}
    features.body.load_state_dict(shared)
    for name in LAYERS:
        body.get_submodule(name).register_forward_hook(
            lambda _module, _given, out, name=name: seen.__setitem__(name, out)
        )
    images = torch.randn(2, 3, *SIZE)
    with torch.inference_mode():
        found = features(images).numpy()
        whole.features(images)
    expected = [
        value
        for name in LAYERS
        for value in (seen[name].mean((2, 3)), seen[name].flatten(2).std(2, correction=0))
    ]
    np.testing.assert_allclose(found, torch.cat(expected, 1).numpy(), atol=1e-3)
    assert features.num_features == found.shape[1]


def test_a_spread_has_no_exact_map_and_the_embedding_has_as_many_numbers_as_there_are_directions() -> None:
    _, embedding, cam = make().eval().outputs(torch.rand(2, 3, *SIZE))  # type: ignore[attr-defined]
    assert cam is None
    assert embedding.shape == (2, 12)


@pytest.mark.parametrize(
    ("layers", "message"),
    [(("layer9",), 'has no layer "layer9". It has conv1'), (("",), "has no layer")],
    ids=["unknown", "empty"],
)
def test_layers_that_are_not_there_are_refused(layers: tuple[str, ...], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        make(layers)


def test_layers_of_our_own_networks_are_refused() -> None:
    with pytest.raises(RecipeError, match="are for timm:<name>; small takes none"):
        create_model(
            "small",
            num_classes=7,
            image_size=SIZE,
            drop_rate=0.0,
            options=TimmOptions(layers=LAYERS, directions=3),
        )
