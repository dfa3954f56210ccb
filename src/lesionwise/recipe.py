"""A recipe: everything that decides what a training run does, as one flat, checked table.

Not here: what the keys do (`lesionwise.models`, `lesionwise.training`) and where data and results live
(command-line options: a recipe can be run on any data).
"""

import json
import tomllib
from collections.abc import Iterable, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from lesionwise.errors import RecipeError
from lesionwise.wording import did_you_mean

Fraction = Annotated[float, Field(ge=0, lt=1)]
Share = Annotated[float, Field(gt=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
MetadataName = Literal["age", "sex", "localization"]
MODELS = ("seed-cnn", "seed-cnn-256", "seed-mlp", "seed-vgg16", "small")
"""Names of the package's own networks, which `lesionwise.models.registry` makes."""
_TELLTALE = ("dx_type", "dataset")  # they say how a diagnosis was made, and so which it is
_OF_PROBES = {  # all keys that a probe minds, and `epochs`, which every recipe has
    "model", "model_args", "weights", "mean", "std", "image_size", "train_size", "eval_size", "eval_zoom",
    "field_of_view", "hair_removal", "color_constancy", "tta", "metadata", "metadata_dropout", "layers",
    "directions", "probe", "epochs", "class_weight", "calibration", "defect_resample_before_split",
    "defect_own_statistics",
}  # fmt: skip
Size = tuple[Annotated[int, Field(ge=16)], Annotated[int, Field(ge=16)]]


class Recipe(BaseModel):
    """A resolved recipe; the shipped files in `lesionwise/recipes` show every key in use.

    Attributes:
        model: Name in the registry of `lesionwise.models`, or `timm:` and a name of the timm library.
        model_args: Passed to `timm.create_model`, such as `drop_path_rate`.
        weights: "none" trains from scratch, "published" fetches what the hub has for the model, anything else
            is the path of a safetensors file, or of a run folder or a bundle to go on from, kept as an
            absolute one; or the name of a bundle that ships.
        mean: Mean of RGB in [0, 1], to normalise with; left out: that which the weights were trained with, or
            for fresh weights that of `train`.
        std: The same for the standard deviation.
        drop_rate: Dropout before the classifier, for models that leave it open.
        image_size: Height and width that images are read and cached at, in pixels.
        train_size: Height and width of the augmented training image; `image_size` if left out.
        eval_size: Height and width of the image in evaluation; `image_size` if left out.
        eval_zoom: Magnification in evaluation: its inverse is the centred part looked at.
        field_of_view: Crop away the black border and corners of a dermatoscope's round view.
        hair_removal: Paint over thin, long, dark lines; needs the extra `hair`.
        color_constancy: Take the tint of the light out of the colours (Shades of Gray).
        tta: Views of each image that are averaged in evaluation and in the bundle: 1 the image alone, 2 with
            its mirror image, 4 with the half turns of both too, 8 with the quarter turns as well, where the
            image is square.
        metadata: What the model receives besides the image: age, sex and localization. All of it may be
            missing, in training and in prediction.
        metadata_hidden: Units between metadata and logits; 0, as in a probe, adds them up.
        metadata_dropout: Part of the training images whose metadata are hidden, to learn to do without.
        layers: Layers of a timm network, for a probe: names of the modules whose channels are looked at, in
            mean and spread over the image, instead of its last map.
        directions: Main directions of these that the last layer sees.
        probe: Fit the last layer alone, by this method, to features that are computed once and kept; keys of
            training by gradient are refused beside it.
        epochs: Greatest number of passes over `train`.
        batch_size: Images per step, of all devices together.
        accumulate: Number of equal parts in which a batch is computed, one after the other. Their gradients
            add up. Memory is that of one part, and batch normalisation sees one part at a time.
        optimizer: Update rule.
        lr: Learning rate; for one-cycle the highest.
        lr_features: Learning rate of the features as a multiple of that of the head.
        layer_decay: Each layer below learns this much slower than the one above; 1 for all alike.
        freeze: First epochs in which only the head learns, or "all".
        freeze_layers: Lowest layers of the features, counted as for `layer_decay`, that never learn; of a
            convolutional network they cost the most.
        weight_decay: Decoupled for AdamW, L2 otherwise.
        schedule: How the learning rate changes.
        plateau_patience: Epochs in a row without a better `monitor` after which `plateau_factor` is applied.
        plateau_factor: See above.
        min_lr: The plateau schedule never goes below; the cosine ends there, layers whose rate is lower end
            as much lower.
        warmup: Part of all steps in which one-cycle rises.
        monitor: Column of `history.csv` that picks the best epoch, on `val`.
        early_stopping: Epochs without a better `monitor` before training stops; left out: never.
        train_on_val: Train on `val` as well, for a model that is published when all choices are made. No
            image is left to pick an epoch by: the last one is kept.
        class_weight: Exponent of the inverse class frequency in the loss; 0 weighs all images alike.
        sampling: Exponent of the inverse class frequency in drawing an epoch with replacement; 0 takes each
            image once, 1 all classes alike.
        logit_adjustment: Multiple of the log class frequency added to the logits in training.
        focal_gamma: Exponent of the focal loss; 0 is plain cross-entropy.
        label_smoothing: Probability mass spread over all classes.
        mixup: Parameter of the beta distribution that mixes pairs of images; 0 mixes none.
        cutmix: The same for pasting a box of one image into another; with both, each batch takes one.
        compile: Have `torch.compile` fuse the training step: it costs a minute or two at the start, and
            needs a C++ compiler on a CPU. Without effect where the last layer learns on kept features.
        ema: Decay per step of the averaged weights that are evaluated and kept; 0 keeps the raw ones.
        rotation: Greatest angle in degrees, both ways.
        zoom: Smallest and greatest magnification; below 1 shows more than the image holds.
        zoom_apart: Draw the zoom of height and width apart, as Keras' ImageDataGenerator does.
        shift: Greatest shift as a part of height and width, both ways.
        aspect: Greatest relative stretch of width against height, both ways.
        flip: Mirror horizontally and vertically, each at even odds.
        fill: What lies beyond the border of a moved image.
        blur: Greatest standard deviation of a Gaussian blur as a part of the crop's height. Every second
            image stays sharp.
        jpeg: Lowest JPEG quality. Every second image is saved once more as JPEG, at a quality from this one
            to 98; left out: none.
        noise: Greatest standard deviation of Gaussian noise, as a part of full brightness. Every second image
            stays clean.
        views: How often one step sees each image, changed in another way each time.
        consistency: Weight in the loss of how far the answers to the views of one image lie apart.
        brightness: Greatest relative change, both ways.
        contrast: Greatest relative change, both ways.
        color: Greatest relative gain of each channel alone, both ways.
        calibration: How raw outputs become probabilities, fitted on `cal`: one number for all logits, or a
            factor and an offset for each diagnosis, which also gives rare ones back their true frequency.
        logger: Note the epochs, beside `history.csv`, for a tool that compares runs: "csv" in Lightning's own
            form, "tensorboard", or "mlflow", which needs the extra `mlflow`.
        defect_resample_before_split: A DEFECT of public notebooks, to show what it is worth: draw this many
            images of each class with replacement before an image split, so that copies land in test.
        defect_own_statistics: A DEFECT of public notebooks: standardise each part with its own statistics.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    model: str
    model_args: dict[str, bool | int | float | str] = {}
    weights: str = "none"
    mean: tuple[Fraction, Fraction, Fraction] | None = None
    std: tuple[Share, Share, Share] | None = None
    drop_rate: Fraction = 0.0
    image_size: Size
    train_size: Size | None = None
    eval_size: Size | None = None
    eval_zoom: Annotated[float, Field(ge=1)] = 1.0

    field_of_view: bool = False
    hair_removal: bool = False
    color_constancy: bool = False

    tta: Literal[1, 2, 4, 8] = 1

    metadata: tuple[MetadataName, ...] = ()
    metadata_hidden: Annotated[int, Field(ge=0)] = 32
    metadata_dropout: Fraction = 0.5

    layers: tuple[str, ...] = ()
    directions: Annotated[int, Field(ge=1)] = 512
    probe: Literal["logistic", "svm"] | None = None
    epochs: Annotated[int, Field(ge=1)]
    batch_size: Annotated[int, Field(ge=1)] = 64
    accumulate: Annotated[int, Field(ge=1)] = 1
    optimizer: Literal["adam", "adamw", "sgd"] = "adam"
    lr: Positive = 1e-3
    lr_features: Share = 1.0
    layer_decay: Share = 1.0
    freeze: Annotated[int, Field(ge=0)] | Literal["all"] = 0
    freeze_layers: Annotated[int, Field(ge=0)] = 0
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    schedule: Literal["constant", "plateau", "cosine", "one_cycle"] = "constant"
    plateau_patience: Annotated[int, Field(ge=1)] = 3
    plateau_factor: Fraction = 0.5
    min_lr: Annotated[float, Field(ge=0)] = 1e-5
    warmup: Fraction = 0.15
    monitor: Literal["val_balanced_accuracy", "val_accuracy", "val_loss"] = "val_balanced_accuracy"
    early_stopping: Annotated[int, Field(ge=1)] | None = None
    train_on_val: bool = False

    class_weight: Annotated[float, Field(ge=0, le=2)] = 0.0
    sampling: Annotated[float, Field(ge=0, le=2)] = 0.0
    logit_adjustment: Annotated[float, Field(ge=0)] = 0.0
    focal_gamma: Annotated[float, Field(ge=0)] = 0.0
    label_smoothing: Fraction = 0.0
    mixup: Annotated[float, Field(ge=0)] = 0.0
    cutmix: Annotated[float, Field(ge=0)] = 0.0
    ema: Fraction = 0.0
    compile: bool = False

    rotation: Annotated[float, Field(ge=0, le=180)] = 0.0
    zoom: tuple[Positive, Positive] = (1.0, 1.0)
    zoom_apart: bool = False
    shift: Fraction = 0.0
    aspect: Fraction = 0.0
    flip: bool = False
    fill: Literal["border", "reflection", "zeros"] = "border"
    blur: Fraction = 0.0
    jpeg: Annotated[int, Field(ge=1, le=98)] | None = None
    noise: Fraction = 0.0
    views: Literal[1, 2] = 1
    consistency: Annotated[float, Field(ge=0)] = 0.0
    brightness: Fraction = 0.0
    contrast: Fraction = 0.0
    color: Fraction = 0.0

    calibration: Literal["temperature", "vector"] = "temperature"
    logger: Literal["csv", "tensorboard", "mlflow"] | None = None
    defect_resample_before_split: Annotated[int, Field(ge=1)] | None = None
    defect_own_statistics: bool = False

    @model_validator(mode="after")
    def _verify_statistics(self) -> "Recipe":
        if (self.mean is None) != (self.std is None):
            raise ValueError("mean and std go together; set both or none")
        return self

    @model_validator(mode="after")
    def _verify_views(self) -> "Recipe":
        if self.tta == 8 and self.view_size[0] != self.view_size[1]:  # noqa: PLR2004 (see tta)
            raise ValueError("tta = 8 turns images by 90 degrees and needs a square eval_size; set tta = 4")
        return self

    @field_validator("metadata", mode="before")
    @classmethod
    def _refuse_telltale(cls, names: Any) -> Any:  # noqa: ANN401 (as it stands in the file)
        for name in names if isinstance(names, list | tuple) else ():
            if name in _TELLTALE:
                raise ValueError(f"{name} shows how the diagnosis was made, so a model must not see it")
        return names

    @field_validator("model")
    @classmethod
    def _verify_model(cls, name: str) -> str:
        if name not in MODELS and not name.startswith("timm:"):
            near = did_you_mean(name, MODELS)
            raise ValueError(f"expected one of {', '.join(MODELS)}, or timm:<name>{near and '.' + near}")
        return name

    @field_validator("weights")
    @classmethod
    def _make_absolute(cls, weights: str) -> str:
        """Keep a path that holds in every working directory: a fold may run in another one.

        A word that names no file here stays as it is: it may be a bundle that ships.
        """
        is_word = Path(weights).name == weights and "." not in weights and not Path(weights).exists()
        return weights if is_word else str(Path(weights).absolute())

    @model_validator(mode="after")
    def _verify_probe(self) -> "Recipe":
        if self.layers and not self.probe:
            raise ValueError('only a probe looks at layers; set probe = "logistic" or "svm"')
        others = {name: field for name, field in Recipe.model_fields.items() if name not in _OF_PROBES}
        unminded = [name for name, field in others.items() if getattr(self, name) != field.default]
        if self.probe and unminded:
            raise ValueError(f"a probe trains no layer of the features; leave out {', '.join(unminded)}")
        return self

    @model_validator(mode="after")
    def _verify_start(self) -> "Recipe":
        if self.weights == "none" and (self.probe or self.freeze == "all"):
            asked = "a probe" if self.probe else 'freeze = "all"'
            raise ValueError(
                f'{asked} trains no features, and fresh ones were never trained; set weights = "published", '
                "or the path of a safetensors file"
            )
        return self

    @model_validator(mode="after")
    def _verify_metadata(self) -> "Recipe":
        if len(set(self.metadata)) != len(self.metadata):
            raise ValueError("metadata names a column twice")
        if self.metadata and (self.mixup or self.cutmix):
            raise ValueError("metadata cannot be mixed like images; set mixup = 0 and cutmix = 0")
        return self

    @model_validator(mode="after")
    def _verify_parts(self) -> "Recipe":
        if self.batch_size % self.accumulate:
            raise ValueError(
                f"accumulate = {self.accumulate} cannot divide a batch of {self.batch_size} images evenly; "
                "set batch_size to a multiple of it"
            )
        return self

    @model_validator(mode="after")
    def _verify_consistency(self) -> "Recipe":
        if self.views > 1 and (self.mixup or self.cutmix):
            raise ValueError(
                "views = 2 shows one image twice, but a mixed image is made of two; set mixup = 0 and "
                "cutmix = 0, or views = 1"
            )
        if self.consistency and self.views == 1:
            raise ValueError("consistency compares two views of an image; set views = 2")
        return self

    @model_validator(mode="after")
    def _verify_watched(self) -> "Recipe":
        watches = self.early_stopping or self.schedule == "plateau"
        if self.train_on_val and watches:
            raise ValueError(
                "train_on_val leaves no images to watch; unset early_stopping and the plateau schedule"
            )
        return self

    @property
    def crop_size(self) -> Size:
        """Height and width that the model sees in training, in pixels."""
        return self.train_size or self.image_size

    @property
    def view_size(self) -> Size:
        """Height and width that the model sees in evaluation, in pixels."""
        return self.eval_size or self.image_size

    def published(self) -> dict[str, Any]:
        """Return the keys as others may read them: a file of weights by its name alone."""
        return {**self.model_dump(mode="json", exclude_none=True), "weights": Path(self.weights).name}

    def to_toml(self) -> str:
        """Return the recipe as TOML that `load_recipe` reads back to an equal one."""
        pairs = self.model_dump(mode="json", exclude_none=True).items()
        return "".join(f"{key} = {to_toml_value(value)}\n" for key, value in pairs)


def to_toml_value(value: Any) -> str:  # noqa: ANN401 (any value of a recipe)
    """Return a value of a recipe as TOML writes it."""
    if isinstance(value, dict):
        pairs = (f"{to_toml_value(key)} = {to_toml_value(inner)}" for key, inner in value.items())
        return f"{{{', '.join(pairs)}}}"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")  # as TOML has it


def recipe_names() -> list[str]:
    """Return the names of the recipes that ship with the package, sorted."""
    folder = files("lesionwise") / "recipes"
    return sorted(
        entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml")
    )


def load_recipe(source: str | Path, overrides: Iterable[str] = ()) -> Recipe:
    """Read a shipped recipe by its name, or any TOML file, and apply overrides.

    Args:
        source: Name from `recipe_names`, or the path of a `.toml` file.
        overrides: Texts of the form `key=value`, the value written as in TOML.

    Raises:
        RecipeError: If there is no such recipe, a key is unknown or a value impossible.
    """
    try:
        values = tomllib.loads(recipe_text(source))
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"{source}: not valid TOML: {error}.") from error
    values |= dict(_parse_override(text) for text in overrides)
    return parse_recipe(values, source)


def parse_recipe(values: Mapping[str, Any], source: str | Path) -> Recipe:
    """Return the recipe of some keys. `source`: where they are from, for messages."""
    try:
        return Recipe.model_validate(values)
    except ValidationError as error:
        raise RecipeError("\n".join(_explain(source, fault) for fault in error.errors())) from error


def recipe_text(source: str | Path) -> str:
    """Return the text of a shipped recipe, or of a `.toml` file."""
    if str(source).endswith(".toml"):
        try:
            return Path(source).read_text(encoding="utf-8")
        except OSError as error:
            raise RecipeError(f"{source}: cannot be read: {error.strerror}.") from error
        except UnicodeDecodeError as error:
            raise RecipeError(f"{source}: is not UTF-8 text.") from error
    if source not in recipe_names():
        raise RecipeError(
            f'Expected a recipe to be one of {", ".join(recipe_names())} or a .toml file but got "{source}".'
            f"{did_you_mean(str(source), recipe_names())}"
        )
    return (files("lesionwise") / "recipes" / f"{source}.toml").read_text(encoding="utf-8")


def _parse_override(text: str) -> tuple[str, Any]:
    key, separator, value = (part.strip() for part in text.partition("="))
    if not separator or not key:
        raise RecipeError(f'Expected --set to be key=value but got "{text}".')
    try:
        return key, tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return key, value  # a bare word is a string


def _explain(source: str | Path, fault: Any) -> str:  # noqa: ANN401 (pydantic's ErrorDetails is a loose dict)
    key = ".".join(str(part) for part in fault["loc"])
    if fault["type"] == "extra_forbidden":
        return f'{source}: unknown key "{key}".{did_you_mean(key, Recipe.model_fields)}'
    if fault["type"] == "missing":
        return f'{source}: the key "{key}" is missing.'
    if not key:
        return f"{source}: {fault['ctx']['error']}."
    text = str(fault["ctx"]["error"]) if fault["type"] == "value_error" else fault["msg"]
    return f'{source}: "{key}" = {fault["input"]!r}: {text}{"" if text.endswith("?") else "."}'
