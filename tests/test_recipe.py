from pathlib import Path

import pytest

from conftest import ROOT, make_recipe
from lesionwise.errors import RecipeError
from lesionwise.models.registry import MODELS, PRETRAINED
from lesionwise.recipe import load_recipe, recipe_names


@pytest.mark.parametrize("name", recipe_names())
def test_every_shipped_recipe_fits_the_schema_and_names_a_model(name: str) -> None:
    model = load_recipe(name).model
    assert model in MODELS or model in PRETRAINED or model.startswith("timm:")


@pytest.mark.parametrize("name", recipe_names())
def test_a_resolved_recipe_reads_back_as_itself(name: str, tmp_path: Path) -> None:
    trained = [] if name == "probe" else ["early_stopping=5", "train_on_val=false", "zoom=[0.5, 2.0]"]
    recipe = load_recipe(name, [*trained, 'model_args={pad_type="same", rate=0.1}'])
    (tmp_path / "config.toml").write_text(recipe.to_toml())
    assert load_recipe(tmp_path / "config.toml") == recipe


@pytest.mark.parametrize("config", sorted((ROOT / "benchmarks" / "runs").glob("*/config.toml")))
def test_the_recipe_of_a_kept_run_can_be_read(config: Path) -> None:
    assert load_recipe(config).model in config.read_text(encoding="utf-8")


@pytest.mark.parametrize("recipe", sorted((ROOT / "benchmarks" / "search").glob("*.toml")))
def test_a_recipe_of_the_search_fits_the_schema(recipe: Path) -> None:
    assert load_recipe(recipe).model.startswith("timm:")


def test_overrides_are_read_as_toml_and_bare_words_as_text() -> None:
    recipe = load_recipe(
        "small", ["epochs=3", "flip=false", "optimizer=sgd", "image_size=[60, 80]", "lr = 1e-4"]
    )
    assert (recipe.epochs, recipe.flip, recipe.optimizer, recipe.image_size, recipe.lr) == (
        3,
        False,
        "sgd",
        (60, 80),
        1e-4,
    )


def test_the_crop_is_the_image_unless_the_recipe_says_otherwise() -> None:
    assert make_recipe().crop_size == (24, 32)
    assert make_recipe(train_size=[16, 16]).crop_size == (16, 16)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("epoch=3", 'unknown key "epoch". Did you mean "epochs"?'),
        ("model=smal", 'Did you mean "small"?'),
        ("epochs=0", '"epochs" = 0: Input should be greater than or equal to 1'),
        ("optimizer=lion", "\"optimizer\" = 'lion'"),
        ("mean=[0.5, 0.5, 0.5]", "mean and std go together"),
        ("consistency=1", "consistency compares two views of an image; set views = 2"),
        ("jpeg=99", '"jpeg" = 99: Input should be less than or equal to 98'),
        ("epochs", 'Expected --set to be key=value but got "epochs"'),
        ("=3", "Expected --set to be key=value"),
    ],
)
def test_a_wrong_override_is_refused_with_the_key(override: str, message: str) -> None:
    with pytest.raises(RecipeError) as caught:
        load_recipe("small", [override])
    assert message in str(caught.value)


@pytest.mark.parametrize("mixed", ["mixup=0.2", "cutmix=0.2"])
def test_mixed_images_have_no_views(mixed: str) -> None:
    with pytest.raises(RecipeError, match=r"set mixup = 0 and cutmix = 0, or views = 1"):
        load_recipe("small", ["views=2", "mixup=0", "cutmix=0", mixed])


def test_a_batch_is_divided_into_equal_parts_only() -> None:
    assert load_recipe("small", ["batch_size=48", "accumulate=3"]).accumulate == 3
    with pytest.raises(RecipeError, match=r"accumulate = 3 cannot divide a batch of 64 images evenly"):
        load_recipe("small", ["batch_size=64", "accumulate=3"])


def test_an_unknown_recipe_is_refused_with_the_known_ones() -> None:
    with pytest.raises(RecipeError, match=r'one of .*seed-cnn.*small.* but got "smal"'):
        load_recipe("smal")


def test_a_probe_refuses_by_name_what_it_would_not_mind() -> None:
    with pytest.raises(RecipeError, match=r"leave out lr_features, sampling, mixup, rotation\.$"):
        load_recipe("probe", ["rotation=10", "sampling=1", "lr_features=0.5", "mixup=0.2", "tta=4"])
    with pytest.raises(RecipeError, match=r"leave out jpeg, noise, views, consistency\.$"):
        load_recipe("probe", ["jpeg=40", "noise=0.03", "views=2", "consistency=2"])
    load_recipe("probe", ["rotation=0.0", "class_weight=0.5", "calibration=vector"])


@pytest.mark.parametrize("name", ["probe", "seed-vgg16"])
def test_features_that_are_not_trained_here_were_trained_before(name: str) -> None:
    with pytest.raises(
        RecipeError, match="trains no features, and fresh ones were never trained; set weights"
    ):
        load_recipe(name, ["weights=none"])


def test_a_file_of_weights_holds_in_every_working_directory(tmp_path: Path) -> None:
    recipe = load_recipe("mobilenetv2", ["weights=w.safetensors"])
    assert recipe.weights == str(tmp_path / "w.safetensors")
    assert load_recipe("mobilenetv2").weights == "published"
    assert load_recipe("small").weights == "none"


@pytest.mark.parametrize(
    ("text", "message"), [("model = ", "not valid TOML"), ("epochs = 1", 'the key "model" is missing')]
)
def test_a_faulty_file_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "mine.toml").write_text(text)
    with pytest.raises(RecipeError, match=message):
        load_recipe(tmp_path / "mine.toml")


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="cannot be read"):
        load_recipe(tmp_path / "nothing.toml")


def test_a_folder_of_any_name_survives_its_toml(tmp_path: Path) -> None:
    recipe = load_recipe("small").model_copy(update={"weights": '/a\\\U0001f600 "é\x7f\x01.safetensors'})
    (tmp_path / "config.toml").write_text(recipe.to_toml(), encoding="utf-8")
    assert load_recipe(tmp_path / "config.toml") == recipe
