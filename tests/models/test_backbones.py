from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file

from lesionwise.errors import RecipeError
from lesionwise.models.backbones import TimmFeatures, layer_depths
from lesionwise.models.network import Network
from lesionwise.models.registry import TimmOptions, create_model

SIZE = (64, 96)


def network_of(name: str, **options: Any) -> Network:
    return create_model(f"timm:{name}", num_classes=7, image_size=SIZE, drop_rate=0.0, **options)


@pytest.fixture(scope="module")
def weights_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of a tiny network that say how images were normalised."""
    torch.manual_seed(7)
    state = timm.create_model("test_resnet", num_classes=0).state_dict()
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    save_file(state, path, {"mean": "0.5,0.4,0.3", "std": "0.1,0.2,0.3"})
    return path


@pytest.mark.parametrize("name", ["test_resnet", "test_vit", "test_convnext"])
def test_the_mean_of_the_maps_over_places_is_the_logits(name: str) -> None:
    network = create_model(f"timm:{name}", num_classes=7, image_size=SIZE, drop_rate=0.0).eval()
    outputs = network.outputs(torch.rand(2, 3, *SIZE))
    assert outputs.cam is not None
    assert outputs.cam.shape[2] / outputs.cam.shape[3] == pytest.approx(SIZE[0] / SIZE[1], rel=0.01)
    torch.testing.assert_close(outputs.cam.mean((2, 3)), outputs.logits, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["test_resnet", "test_vit", "test_efficientnet", "mobilenetv3_small_050"])
def test_every_weight_that_is_kept_learns(name: str) -> None:
    network = create_model(f"timm:{name}", num_classes=7, image_size=SIZE, drop_rate=0.0)
    network(torch.rand(3, 3, *SIZE)).square().sum().backward()
    assert not [name for name, weight in network.named_parameters() if weight.grad is None]


def test_a_map_of_tokens_lies_as_the_image_does() -> None:
    features = TimmFeatures("test_vit", image_size=SIZE).eval()
    features.body.blocks = torch.nn.Identity()  # without attention a place sees its own patch alone
    images = torch.zeros(1, 3, *SIZE)
    plain = features(images)
    images[:, :, 32:48, 80:96] = 1  # the patch in row 2, column 5
    changed = (features(images) != plain).any(1)[0]
    assert changed.nonzero().tolist() == [[2, 5]]


def test_channels_that_stand_last_are_brought_forward(monkeypatch: pytest.MonkeyPatch) -> None:
    made: Any = timm.create_model("test_resnet", num_classes=0)
    straight = made.forward_features
    monkeypatch.setattr(made, "forward_features", lambda images: straight(images).permute(0, 2, 3, 1))
    monkeypatch.setattr(timm, "create_model", lambda *_, **__: made)
    features = TimmFeatures("test_resnet", image_size=SIZE).eval()
    images = torch.rand(1, 3, *SIZE)
    assert torch.equal(features(images), straight(images))


def test_a_network_without_a_map_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    made: Any = timm.create_model("test_vit", num_classes=0, img_size=SIZE)
    straight = made.forward_features
    monkeypatch.setattr(made, "forward_features", lambda images: straight(images)[:, :-1])
    monkeypatch.setattr(timm, "create_model", lambda *_, **__: made)
    with pytest.raises(
        RecipeError, match=r"features of shape \(1, 24, 64\), which are not a map of 4x6 places"
    ):
        network_of("test_vit")


def test_a_file_gives_weights_and_their_statistics(weights_file: Path) -> None:
    network = network_of("test_resnet", weights=str(weights_file))
    fresh = network_of("test_resnet")
    torch.manual_seed(7)
    reference = timm.create_model("test_resnet", num_classes=0)
    for name, value in reference.state_dict().items():
        assert torch.equal(network.features.state_dict()[f"body.{name}"], value)
    torch.testing.assert_close(network.mean.flatten(), torch.tensor([0.5, 0.4, 0.3]))
    torch.testing.assert_close(network.std.flatten(), torch.tensor([0.1, 0.2, 0.3]))
    assert torch.equal(fresh.mean, torch.zeros(3, 1, 1))


def test_a_file_that_does_not_say_its_statistics_needs_them(tmp_path: Path) -> None:
    silent = tmp_path / "silent.safetensors"
    save_file(timm.create_model("test_resnet", num_classes=0).state_dict(), silent)
    with pytest.raises(RecipeError, match=r"does not state how images were normalised\. Set mean and std"):
        network_of("test_resnet", weights=str(silent))
    told = ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    network = network_of("test_resnet", weights=str(silent), statistics=told)
    torch.testing.assert_close(network.mean.flatten(), torch.tensor(told[0]))


def test_a_file_of_another_network_is_refused(weights_file: Path) -> None:
    with pytest.raises(RecipeError, match=r"tiny\.safetensors: has no .* and lacks \d+ tensors"):
        network_of("test_convnext", weights=str(weights_file))


@pytest.mark.parametrize(("content", "message"), [(None, "there is no"), (b"pickle", "cannot be read as")])
def test_what_is_no_safetensors_file_is_refused(content: bytes | None, message: str, tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    if content:
        path.write_bytes(content)
    with pytest.raises(RecipeError, match=message):
        network_of("test_resnet", weights=str(path))


def test_where_the_hub_cannot_be_reached_the_error_says_what_to_fetch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def unreachable(*_: object, **__: object) -> None:
        raise FileNotFoundError

    monkeypatch.setattr(timm, "create_model", unreachable)
    with pytest.raises(
        RecipeError,
        match=r"fetch model\.safetensors of timm/resnet18\.a1_in1k .*mean=\[0\.485.*"
        'neither a probe nor freeze = "all", can start from scratch instead, with weights=none',
    ):
        network_of("resnet18", weights="published")


def test_for_weights_that_no_hub_has_the_error_names_their_address(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*_: object, **__: object) -> None:
        raise FileNotFoundError

    monkeypatch.setattr(timm, "create_model", unreachable)
    with pytest.raises(RecipeError, match=r"fetch https://\S+\.pth and save its tensors as safetensors\. "):
        network_of("legacy_seresnet18", weights="published")


def test_published_weights_come_with_their_statistics(monkeypatch: pytest.MonkeyPatch) -> None:
    made: Any = timm.create_model("test_resnet", num_classes=0)
    asked: dict[str, object] = {}

    def create(*_: object, **options: object) -> object:
        asked.update(options)
        return made

    monkeypatch.setattr(timm, "create_model", create)
    network = network_of("test_resnet", weights="published")
    assert asked["pretrained"] is True
    torch.testing.assert_close(network.std.flatten(), torch.tensor(made.pretrained_cfg["std"]))


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("resnet17", {}, r'no network "resnet17"\. Did you mean .*resnet18'),
        ("hf-hub:someone/model", {}, "no network"),
        ("test_resnet", {"nope": 1}, r"with \{'nope': 1\}: .*nope"),
    ],
)
def test_a_wrong_name_or_argument_is_refused(name: str, arguments: dict[str, int], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        create_model(
            f"timm:{name}", num_classes=7, image_size=SIZE, drop_rate=0.0, options=TimmOptions(arguments)
        )


def test_arguments_reach_the_network() -> None:
    network = network_of("mobilenetv2_050", options=TimmOptions({"pad_type": "same"}))
    kinds = {type(layer).__name__ for layer in network.modules()}
    assert "Conv2dSame" in kinds


def test_fresh_weights_are_all_that_the_models_from_scratch_have() -> None:
    with pytest.raises(RecipeError, match="small starts from fresh weights, or from those of a run"):
        create_model("small", num_classes=7, image_size=SIZE, drop_rate=0.0, weights="published")
    with pytest.raises(RecipeError, match=r"model_args and layers are for timm:<name>; small takes none"):
        create_model("small", num_classes=7, image_size=SIZE, drop_rate=0.0, options=TimmOptions({"a": 1}))


def depths_of(model: str) -> dict[str, int]:
    return layer_depths(create_model(model, num_classes=7, image_size=(64, 64), drop_rate=0.0))


def test_the_head_is_above_all_and_the_stem_below() -> None:
    depths = depths_of("timm:test_resnet")
    assert {depth for name, depth in depths.items() if name.startswith("head.")} == {0}
    assert depths["features.body.conv1.0.weight"] == max(depths.values())
    order = [depths[f"features.body.layer{n}.0.conv1.weight"] for n in (1, 2, 3, 4)]
    assert order == [4, 3, 2, 1]


def test_a_transformer_has_a_layer_per_block() -> None:
    depths = depths_of("timm:test_vit")
    blocks = sorted({depth for name, depth in depths.items() if ".blocks." in name})
    assert len(blocks) > 2
    assert depths["features.body.patch_embed.proj.weight"] == max(depths.values()) == blocks[-1] + 1


def test_our_own_networks_count_their_steps() -> None:
    depths = depths_of("small")
    assert depths["features.0.0.weight"] == max(depths.values())
    assert depths["head.linear.weight"] == 0
    last = max(int(name.split(".")[1]) for name in depths if name.startswith("features."))
    assert {depth for name, depth in depths.items() if name.startswith(f"features.{last}.")} == {1}
