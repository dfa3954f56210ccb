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
_NEEDS_TRAINED = (
    'trains no features, and fresh ones were never trained; set weights = "published", or the path of a '
    "safetensors file"
)
Size = tuple[Annotated[int, Field(ge=16)], Annotated[int, Field(ge=16)]]


class Recipe(BaseModel):
    """A resolved recipe; the shipped files in `lesionwise/recipes` show every key in use."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)

    model: str
    """Name in the registry of `lesionwise.models`, or `timm:` and a name of the timm library."""
    model_args: dict[str, bool | int | float | str] = {}
    """Passed to `timm.create_model`, such as `drop_path_rate`."""
    weights: str = "none"
    """Weights to start from: "none" trains from scratch, "published" fetches those that the hub has for the
    model, the name of an included bundle takes its weights, and anything else is the path of a safetensors
    file, a run folder or a bundle, kept as an absolute path."""
    mean: tuple[Fraction, Fraction, Fraction] | None = None
    """Mean of RGB in [0, 1] that images are normalised with; if left out, the mean that the weights were
    trained with, or for fresh weights the mean of `train`."""
    std: tuple[Share, Share, Share] | None = None
    """Standard deviation of RGB that images are normalised with; if left out, as for `mean`."""
    drop_rate: Fraction = 0.0
    """Dropout before the classifier, for models that leave it open."""
    image_size: Size
    """Height and width that images are read and cached at, in pixels."""
    train_size: Size | None = None
    """Height and width of the augmented training image; `image_size` if left out."""
    eval_size: Size | None = None
    """Height and width of the image in evaluation; `image_size` if left out."""
    eval_zoom: Annotated[float, Field(ge=1)] = 1.0
    """Magnification in evaluation: 2 shows the central half of height and width."""
    field_of_view: bool = False
    """Whether the black border and corners around a dermatoscope's round view are cropped away."""
    hair_removal: bool = False
    """Whether thin, long, dark lines are painted over; needs the extra `hair`."""
    color_constancy: bool = False
    """Whether the tint of the light is taken out of the colours (Shades of Gray)."""
    tta: Literal[1, 2, 4, 8] = 1
    """Number of views of each image that are averaged in evaluation and in the bundle: 1 is the image alone,
    2 adds its mirror image, 4 adds the half turns of both, 8 adds the quarter turns of a square image."""
    second_look: Annotated[float, Field(ge=0)] = 0.0
    """Difference between the two largest logits below which the mirror image is looked at too. The logits of
    both are averaged; the weight of the mirror image falls from one half, at half of this, to zero. 0 never
    looks twice."""
    metadata: tuple[MetadataName, ...] = ()
    """Metadata that the model receives besides the image: age, sex and localization. All of them may be
    missing, in training and in prediction."""
    metadata_hidden: Annotated[int, Field(ge=0)] = 32
    """Units between metadata and logits; 0, as in a probe, adds them up."""
    metadata_dropout: Fraction = 0.5
    """Part of the training images whose metadata are hidden, so that the model learns to do without."""
    layers: tuple[str, ...] = ()
    """Layers of a timm network that a probe uses instead of the last map: names of modules, whose channels
    are summarised by mean and spread over the image."""
    directions: Annotated[int, Field(ge=1)] = 512
    """Number of main directions of these features that the last layer sees."""
    probe: Literal["logistic", "svm"] | None = None
    """Method that fits only the last layer, to features that are computed once and kept; keys of training by
    gradient are refused beside it."""
    epochs: Annotated[int, Field(ge=1)]
    """Greatest number of passes over `train`."""
    batch_size: Annotated[int, Field(ge=1)] = 64
    """Number of images per step, on all devices together."""
    accumulate: Annotated[int, Field(ge=1)] = 1
    """Number of equal parts in which a batch is computed, one after the other. Their gradients add up. Memory
    is that of one part, and batch normalisation sees one part at a time."""
    optimizer: Literal["adam", "adamw", "sgd"] = "adam"
    """Rule by which a step changes the weights."""
    lr: Positive = 1e-3
    """Learning rate; for one-cycle the highest one."""
    lr_features: Share = 1.0
    """Learning rate of the features as a multiple of that of the head."""
    layer_decay: Share = 1.0
    """Factor by which the learning rate falls from each layer to the one below; 1 is the same for all."""
    freeze: Annotated[int, Field(ge=0)] | Literal["all"] = 0
    """Number of first epochs in which only the head learns, or "all"."""
    freeze_layers: Annotated[int, Field(ge=0)] = 0
    """Number of the lowest layers, counted as for `layer_decay`, that never learn; in a convolutional network
    these cost the most time."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    """Weight decay: decoupled for AdamW, an L2 penalty otherwise."""
    schedule: Literal["constant", "plateau", "cosine", "one_cycle"] = "constant"
    """How the learning rate changes over the epochs."""
    plateau_patience: Annotated[int, Field(ge=1)] = 3
    """Number of epochs in a row without a better `monitor` before the plateau schedule lowers the rate."""
    plateau_factor: Fraction = 0.5
    """Factor that the plateau schedule then multiplies the learning rate with."""
    min_lr: Annotated[float, Field(ge=0)] = 1e-5
    """Lowest learning rate of the plateau schedule, and the last one of the cosine; layers with a lower rate
    end lower in proportion."""
    warmup: Fraction = 0.15
    """Part of all steps in which the rate of one-cycle rises."""
    monitor: Literal["val_balanced_accuracy", "val_accuracy", "val_loss"] = "val_balanced_accuracy"
    """Column of `history.csv` that picks the best epoch, on `val`."""
    early_stopping: Annotated[int, Field(ge=1)] | None = None
    """Number of epochs without a better `monitor` before training stops; never if left out."""
    train_on_val: bool = False
    """Whether to train on `val` as well, for a model that is published when all choices are made. No image is
    left to pick an epoch by, so the last one is kept."""
    class_weight: Annotated[float, Field(ge=0, le=2)] = 0.0
    """Exponent of the inverse class frequency in the loss; 0 weighs all images alike."""
    sampling: Annotated[float, Field(ge=0, le=2)] = 0.0
    """Exponent of the inverse class frequency when an epoch is drawn with replacement; 0 takes each image
    once, 1 makes all classes equally common."""
    logit_adjustment: Annotated[float, Field(ge=0)] = 0.0
    """Multiple of the log class frequency added to the logits in training."""
    focal_gamma: Annotated[float, Field(ge=0)] = 0.0
    """Exponent of the focal loss; 0 is plain cross-entropy."""
    label_smoothing: Fraction = 0.0
    """Probability mass spread over all classes."""
    mixup: Annotated[float, Field(ge=0)] = 0.0
    """Parameter of the beta distribution that mixes pairs of images; 0 mixes none."""
    cutmix: Annotated[float, Field(ge=0)] = 0.0
    """Parameter of the same distribution for pasting a box of one image into another; if `mixup` is set too,
    each batch uses one of the two."""
    ema: Fraction = 0.0
    """Decay per step of the averaged weights, which are evaluated and kept; 0 keeps the raw weights."""
    compile: bool = False
    """Whether `torch.compile` fuses the training step, which takes a minute or two at the start and needs a
    C++ compiler on a CPU. It has no effect where the last layer learns from kept features."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """Number format of the training step; "auto" is bf16 where that is clearly faster, and `timing.json`
    states the choice. With one of the others, the same seed computes the same on every run. A probe is always
    computed in fp32."""
    rotation: Annotated[float, Field(ge=0, le=180)] = 0.0
    """Greatest angle in degrees, in both directions."""
    zoom: tuple[Positive, Positive] = (1.0, 1.0)
    """Smallest and greatest magnification; below 1 the view reaches beyond the border of the image."""
    zoom_apart: bool = False
    """Whether height and width are zoomed independently, as Keras' ImageDataGenerator does."""
    shift: Fraction = 0.0
    """Greatest shift as a part of height and width, in both directions."""
    aspect: Fraction = 0.0
    """Greatest relative stretch of width against height, in both directions."""
    flip: bool = False
    """Whether to mirror horizontally and vertically, each with probability one half."""
    fill: Literal["border", "reflection", "zeros"] = "border"
    """What fills the area beyond the border of a moved image."""
    blur: Fraction = 0.0
    """Greatest standard deviation of a Gaussian blur as a part of the crop's height. Every second image stays
    sharp."""
    jpeg: Annotated[int, Field(ge=1, le=98)] | None = None
    """Lowest JPEG quality. Every second image is saved as JPEG again, at a quality from this one to 98; none
    is if this is left out."""
    noise: Fraction = 0.0
    """Greatest standard deviation of Gaussian noise, as a part of full brightness. Every second image stays
    clean."""
    views: Literal[1, 2] = 1
    """Number of times that one step sees each image, changed in another way each time."""
    consistency: Annotated[float, Field(ge=0)] = 0.0
    """Weight in the loss of the difference between the answers to the views of one image."""
    brightness: Fraction = 0.0
    """Greatest relative change of brightness, in both directions."""
    contrast: Fraction = 0.0
    """Greatest relative change of contrast, in both directions."""
    color: Fraction = 0.0
    """Greatest relative gain of each colour channel, in both directions."""
    calibration: Literal["temperature", "vector"] = "temperature"
    """How raw outputs become probabilities, fitted on `cal`: one number for all logits, or a factor and an
    offset for each diagnosis, which also gives rare ones back their true frequency."""
    logger: Literal["csv", "tensorboard", "mlflow"] | None = None
    """Form in which the epochs are also logged, beside `history.csv`, for a tool that compares runs: "csv" as
    Lightning writes it, "tensorboard", or "mlflow", which needs the extra `mlflow`."""
    defect_resample_before_split: Annotated[int, Field(ge=1)] | None = None
    """A DEFECT of public notebooks, to show its effect: draw this many images of each class with replacement
    before an image split, so that copies land in test."""
    defect_own_statistics: bool = False
    """A DEFECT of public notebooks: standardise each part with its own statistics."""

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
    def _verify_together(self) -> "Recipe":
        unminded = [
            name
            for name, field in Recipe.model_fields.items()
            if self.probe and name not in _OF_PROBES and getattr(self, name) != field.default
        ]
        fresh = self.weights == "none"
        mixes = self.mixup > 0 or self.cutmix > 0
        conflicts = {
            "mean and std go together; set both or none": (self.mean is None) != (self.std is None),
            "tta = 8 turns images by 90 degrees and needs a square eval_size; set tta = 4": (
                self.tta == 8 and self.view_size[0] != self.view_size[1]  # noqa: PLR2004 (see tta)
            ),
            "with tta above 1, the mirror image is always used; set second_look = 0": (
                self.second_look and self.tta > 1
            ),
            'only a probe looks at layers; set probe = "logistic" or "svm"': self.layers and not self.probe,
            f"a probe trains no layer of the features; leave out {', '.join(unminded)}": unminded,
            f"a probe {_NEEDS_TRAINED}": fresh and self.probe,
            f'freeze = "all" {_NEEDS_TRAINED}': fresh and self.freeze == "all",
            "metadata names a column twice": len(set(self.metadata)) != len(self.metadata),
            "metadata cannot be mixed like images; set mixup = 0 and cutmix = 0": self.metadata and mixes,
            f"accumulate = {self.accumulate} cannot divide a batch of {self.batch_size} images evenly; set "
            "batch_size to a multiple of it": self.batch_size % self.accumulate,
            "views = 2 shows one image twice, but a mixed image is made of two; set mixup = 0 and cutmix = "
            "0, or views = 1": self.views > 1 and mixes,
            "consistency compares two views of an image; set views = 2": self.consistency and self.views == 1,
            "train_on_val leaves no images to watch; unset early_stopping and the plateau schedule": (
                self.train_on_val and (self.early_stopping or self.schedule == "plateau")
            ),
        }
        for conflict, is_there in conflicts.items():
            if is_there:
                raise ValueError(conflict)
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
