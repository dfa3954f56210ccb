from lesionwise.models.depth import layer_depths
from lesionwise.models.registry import create_model


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
