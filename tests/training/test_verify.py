from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import timm
from safetensors.torch import save_file

from conftest import WriteKaggle, make_recipe
from lesionwise.errors import RecipeError
from lesionwise.execution import Execution
from lesionwise.experiments.crossval import cross_validate
from lesionwise.experiments.leakage import measure_leakage
from lesionwise.training.run import recipe_changes, train, verify_recipe

TINY = {"model": "timm:test_resnet", "image_size": [24, 32]}
PROBE = {**TINY, "probe": "logistic", "batch_size": 64}
COMMANDS = {
    "train": train,
    "cross-validate": cross_validate,
    "leakage": measure_leakage,
    "cross-validate on Ray": partial(cross_validate, execution=Execution(engine="ray")),
    "leakage on Ray": partial(measure_leakage, execution=Execution(engine="ray")),
}


@pytest.fixture
def unreachable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the hub be out of reach."""
    really = timm.create_model

    def create(*arguments: object, pretrained: bool, **options: object) -> object:
        if pretrained:
            raise FileNotFoundError
        return really(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(timm, "create_model", create)


@pytest.mark.usefixtures("unreachable")
@pytest.mark.parametrize("begin", COMMANDS.values(), ids=COMMANDS)
@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({**TINY, "weights": "published"}, "published weights of timm:test_resnet cannot be fetched"),
        ({**PROBE, "weights": "published"}, "published weights of timm:test_resnet cannot be fetched"),
        ({**TINY, "weights": "none.safetensors"}, r"but there is no .*none\.safetensors"),
        ({"model": "timm:resnet17"}, 'no network "resnet17"'),
        ({"model": "seed-cnn", "train_size": [20, 20]}, r"seed-cnn cannot take images of \(20, 20\)"),
        ({"freeze_layers": 99}, "fewer than the"),
    ],
    ids=["published", "probe", "file", "timm name", "size", "held layers"],
)
def test_a_network_that_cannot_be_had_is_refused_before_anything_is_read_or_written(
    begin: Callable[..., object], keys: dict[str, object], said: str, tmp_path: Path
) -> None:
    with pytest.raises(RecipeError, match=said):
        begin(make_recipe(**keys), tmp_path / "nowhere", out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_what_was_begun_goes_on_without_the_weights_it_started_from(
    write_kaggle: WriteKaggle, tmp_path: Path
) -> None:
    path = tmp_path / "start.safetensors"
    body = timm.create_model("test_resnet", num_classes=0).state_dict()
    save_file(body, path, {"mean": "0.5,0.5,0.5", "std": "0.2,0.2,0.2"})
    recipe = make_recipe(**TINY, weights=str(path), epochs=1, batch_size=64)
    folder, out = write_kaggle(tmp_path / "data", lesions=20), tmp_path / "out"
    first = cross_validate(recipe, folder, out=out, folds=[1])
    path.unlink()
    assert cross_validate(recipe, folder, out=out, folds=[1]) == first
    with pytest.raises(RecipeError, match="but there is no"):
        cross_validate(recipe, folder, out=out, folds=[2])
    assert not (out / "fold-2").exists()


@pytest.mark.usefixtures("unreachable")
def test_other_weights_are_asked_for_only_where_none_were_kept() -> None:
    recipe = make_recipe(**TINY, weights="published")
    verify_recipe(recipe, "cpu", resumed=True)
    with pytest.raises(RecipeError, match="cannot be fetched"):
        verify_recipe(recipe, "cpu")


def test_the_same_weights_under_another_path_are_no_other_recipe(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "linked").symlink_to(tmp_path / "real")
    config = tmp_path / "config.toml"
    config.write_text(make_recipe(**TINY, weights="real/w.safetensors").to_toml())
    for weights in ("real/w.safetensors", "linked/w.safetensors", "real/../real/w.safetensors"):
        assert not recipe_changes(make_recipe(**TINY, weights=weights), config)
        assert recipe_changes(make_recipe(**TINY, weights=weights, lr=0.5), config)
    for weights in ("w.safetensors", "published", "none"):
        assert recipe_changes(make_recipe(**TINY, weights=weights), config)
