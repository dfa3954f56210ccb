"""The description of a bundle: JSON under the metadata key `lesionwise`, beside the graph.

Here: the record. Not here: checking a file (`load`), and acting on it (`decide`, `engine`).
"""

from datetime import date
from hashlib import sha256
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from lesionwise.bundle.texts import Line, Name, Prose, printable
from lesionwise.data.collection import HAM10000_FINGERPRINT, Collection
from lesionwise.data.images import IMAGE_RULE
from lesionwise.data.metadata import Encoding
from lesionwise.data.preprocess import verify_steps
from lesionwise.errors import BundleError, RecipeError
from lesionwise.evaluation.calibration.record import Aim, Calibration, Inner, Part, Question, Stamp
from lesionwise.labels import CODES

SCHEMA: Final = 1
Precision = Literal["fp32", "bf16", "fp16", "int8"]
Output = Literal[
    "probabilities", "logits", "embedding", "ood_score", "cam"
]  # "ood": the files' word for rejection
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]
Count = Annotated[int, Field(ge=0)]
_SHOWN: Final = 40  # characters of a strange value
LEAST_SIDE: Final = 8
GREATEST_SIDE: Final = 4096
Side = Annotated[int, Field(ge=LEAST_SIDE, le=GREATEST_SIDE)]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class ImageInput(_Record):
    """How a picture becomes the network's input.

    Attributes:
        rule: Name of the rule of `data.images.read_image`.
        steps: Names of its preprocessing steps, in their order.
        height: In pixels.
        width: In pixels.
        zoom: Magnification in the graph: its inverse is the centred part that the network looks at, and that
            its maps cover. The smallest of several members, which have no map.
    """

    rule: str = IMAGE_RULE
    steps: tuple[str, ...] = ()
    height: Side
    width: Side
    zoom: Annotated[float, Field(ge=1)] = 1.0

    @field_validator("rule")
    @classmethod
    def _known(cls, rule: str) -> str:
        if rule != IMAGE_RULE:
            raise ValueError(
                f'Expected the image rule "{IMAGE_RULE}". Another version of lesionwise may know this one'
            )
        return rule

    @field_validator("steps")
    @classmethod
    def _in_order(cls, steps: tuple[str, ...]) -> tuple[str, ...]:
        try:
            verify_steps(steps)
        except RecipeError as error:
            raise ValueError(str(error)) from error
        return steps

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.height, self.width


class Provenance(_Record):
    """What the weights were made from; recipes, seeds and checkpoints are those of each member.

    Attributes:
        data_fingerprint: SHA-256 over ids, diagnoses, lesions and contents of the images.
        split_fingerprint: SHA-256 of the split.
        checkpoints: SHA-256 of the weights.
        packages: Versions that trained it.
        test_images: `image_digest` of each image behind the test scores, so that others can verify them
            without knowing file names of patients.
        seen: `image_digest` of each image and lesion that the model was trained on, chosen with or calibrated
            on; None if the package knows the split, or if there are too many.
    """

    data_fingerprint: Sha256
    split_fingerprint: Sha256
    images: Count
    lesions: Count
    recipes: tuple[dict[str, Any], ...]
    seeds: tuple[int, ...]
    checkpoints: tuple[Sha256, ...]
    packages: dict[str, str] = {}
    test_images: tuple[Digest, ...] = ()
    seen: tuple[Digest, ...] | None = None


class Score(_Record):
    """A score with its 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} ({self.low:.3f} to {self.high:.3f})"


class Accepted(_Record):
    """How many images of a diagnosis are accepted as lesion images.

    Attributes:
        images: Number of images of the diagnosis in `cal`.
        part: Part of them that passes a cut-off that was set without them.
    """

    images: Annotated[int, Field(ge=1)]
    part: Part


class PointScores(_Record):
    """Sensitivity and specificity of an operating point on a part; each lesion counts once.

    Question, aim and `at_least` identify the point of the calibration. A score is None without a threshold,
    or without a lesion on that side.
    """

    question: Question
    aim: Aim
    at_least: Inner
    sensitivity: Score | None = None
    specificity: Score | None = None


class Covered(_Record):
    """Lesions of a diagnosis, and how many of them have it in the set of every photograph."""

    lesions: Annotated[int, Field(ge=1)]
    covered: Count


class SetScores(_Record):
    """Scores of the prediction sets on a part.

    Attributes:
        coverage: Coverage of each diagnosis with a promise, and of all of these together.
        mean: Mean number of diagnoses in a set.
        single: Part of the images whose set contains at most one diagnosis with a promise.
    """

    coverage: dict[Line, Covered]
    mean: Annotated[float, Field(ge=0)]
    single: Part


class PartScores(_Record):
    """The scores of one part of the split; those that were not measured are empty or None.

    Attributes:
        per_class: Scores by diagnosis, then by score.
        accepted: Part of the images that are accepted as lesion images.
    """

    images: Count
    lesions: Count
    overall: dict[Line, Score]
    per_class: dict[Line, dict[Line, Score]] = {}
    points: tuple[PointScores, ...] = ()
    sets: SetScores | None = None
    accepted: Part | None = None


class KeptShares(_Record):
    """The shares of the images whose answer stays the same after one change; None without a threshold."""

    top: Score
    decision: Score
    melanoma: Score | None = None


class StabilityScores(_Record):
    """How often answers on `cal` stay the same after small changes of the pictures.

    Attributes:
        measured_on: `image_digest` of each image.
    """

    images: Count
    lesions: Count
    changes: dict[Line, KeptShares]
    measured_on: tuple[Digest, ...] = ()


class PrecisionCheck(_Record):
    """What fewer bits changed on `cal`.

    Close calls are computed again in fp32. The changes in each tenth of the lesions are counted with the
    margin that the others gave. None is unknown, as in older files.

    Attributes:
        changed: Number of images with another decision, most likely diagnosis, prediction set or flag.
        largest_difference: Largest change of a probability.
        top_changed: Number of images with another most likely diagnosis.
        balanced_accuracy_change: Balanced accuracy minus that of fp32; each image counts once.
        margin: Distance in log-odds to another answer up to which an image is computed again
            (`decide.distance_to_change`); if None, no image is.
        computed_again: Number of images within that margin.
        pace: Images per second of a thread divided by those of fp32, by processor time, on the machine of the
            export.
    """

    images: Count
    changed: Count
    largest_difference: Annotated[float, Field(ge=0, le=1)]
    top_changed: Count | None = None
    balanced_accuracy_change: Annotated[float, Field(ge=-1, le=1)] | None = None
    margin: Annotated[float, Field(ge=0)] | None = None
    computed_again: Count | None = None
    pace: Annotated[float, Field(gt=0)] | None = None


class Description(_Record):
    """Everything that a bundle states about itself.

    Attributes:
        classes: Diagnosis codes in the order of the outputs.
        metadata: How age, sex and site become the second input, `metadata` (N, M), in which zero is unknown;
            None for a model that takes only pictures and has one input.
        outputs: In order: `probabilities` (N, C) calibrated, `logits` (N, C) raw, and where the model has
            them `embedding` (N, D), `ood_score` (N,), `cam` (N, C, h, w).
        second_look: Difference of the two largest logits below which the mirror image is run too
            (`bundle.second_look`); 0 never, as in older files. The graph itself looks once.
        logits_are: Whether the raw outputs are those of the last layer, or logarithms of probabilities: of
            several averaged members, or of a foreign model that gives nothing else.
        precision: Default number format. fp16 is a format of the file: it stores large weights in fp16 and
            computes in fp32.
        precision_check: What that format changed; None for fp32.
        precisions: What each other available precision changes, as far as it was measured.
        int8_ranges: Least and greatest input of each convolution on `cal`, by the name of its weights: the
            range for int8. Without any, the file cannot be computed in int8, unless that is its own
            precision, as in older files with a graph of integers.
        calibration: Rule from logits to probabilities, sets and operating points; None if there is none.
        calibrated_on: `image_digest` of each image and lesion that an imported model was calibrated on;
            empty for a model of ours, whose provenance has them.
        ood_cutoff: `ood_score` from which a picture is not a lesion image; None if unknown.
        ood_accepted: Accepted images by diagnosis; empty if unknown, as in older bundles.
        provenance: Where the weights come from; None for an imported model, which cannot prove it.
        collection: Images that it learnt from; None if unknown, as in older files.
        scores: Scores by part of the split.
        stability: None if it was not measured, as in older files.
        origin: "lesionwise", or the kind of the imported file.
        stamp: "LEAKY SPLIT" if its split has a lesion in two parts.
        licence: Licence of the weights, in words; empty if not stated.
        card: What a reader must know, in Markdown.
        created: Day of export.
        package_version: Version of the package that wrote it.
    """

    schema_version: Literal[1] = SCHEMA
    name: Name
    classes: tuple[str, ...] = CODES
    input: ImageInput
    metadata: Encoding | None = None
    outputs: tuple[Output, ...]
    second_look: Annotated[float, Field(ge=0)] = 0.0
    logits_are: Literal["last layer", "log of probability"] = "last layer"
    precision: Precision = "fp32"
    precision_check: PrecisionCheck | None = None
    precisions: dict[Precision, PrecisionCheck] = {}
    int8_ranges: dict[Line, tuple[float, float]] = {}
    calibration: Calibration | None = None
    calibrated_on: tuple[Digest, ...] = ()
    ood_cutoff: float | None = None
    ood_accepted: dict[str, Accepted] = {}
    provenance: Provenance | None = None
    collection: Collection | None = None
    scores: dict[str, PartScores] = {}
    stability: StabilityScores | None = None
    origin: Literal["lesionwise", "onnx", "keras"] = "lesionwise"
    stamp: Stamp | None = None
    licence: Line = ""
    card: Prose = ""
    created: date
    package_version: Line

    @field_validator("classes")
    @classmethod
    def _in_our_order(cls, classes: tuple[str, ...]) -> tuple[str, ...]:
        if classes != CODES:
            raise ValueError(f"Expected the order {', '.join(CODES)}")
        return classes

    @field_validator("outputs")
    @classmethod
    def _both_there(cls, outputs: tuple[Output, ...]) -> tuple[Output, ...]:
        if len(set(outputs)) != len(outputs) or not {"probabilities", "logits"} <= set(outputs):
            raise ValueError("Expected probabilities, logits and others, each once")
        return outputs

    @field_validator("int8_ranges")
    @classmethod
    def _not_empty(cls, ranges: dict[str, tuple[float, float]]) -> dict[str, tuple[float, float]]:
        if any(least >= greatest for least, greatest in ranges.values()):
            raise ValueError("Expected the least value of a range before the greatest")
        return ranges

    @property
    def learnt_from(self) -> Collection | None:
        """Images that it learnt from, None if unknown; also for files without the field."""
        if self.collection is None and self.provenance is not None:
            whole = self.provenance.data_fingerprint == HAM10000_FINGERPRINT
            return "HAM10000" if whole else None
        return self.collection


def image_digest(image_id: str) -> str:
    """Return the name of an image in a bundle: the first 16 digits of the SHA-256 of its id."""
    return sha256(image_id.encode()).hexdigest()[:16]


def parse_description(text: bytes) -> Description:
    """Return the description of a file.

    Raises:
        BundleError: If its schema is newer, or it is not valid. The message does not name the file.
    """
    try:
        return Description.model_validate_json(text)
    except ValidationError as error:
        faults = error.errors()
        newer = next((fault for fault in faults if fault["loc"] == ("schema_version",)), None)
        if newer:
            found = printable(str(newer["input"]))[:_SHOWN]
            raise BundleError(
                f"has a description of schema {found}, but this version of lesionwise reads schema {SCHEMA}. "
                "Use the version that wrote it, or a newer one"
            ) from error
        raise BundleError(f"has an invalid description: {_fault(error)}") from error


def verify_texts(*, name: str, licence: str = "", card: str = "") -> None:
    """Make sure that a description can contain these texts, before the work starts."""
    try:
        Description(
            name=name,
            licence=licence,
            card=card,
            input=ImageInput(height=8, width=8),
            outputs=("probabilities", "logits"),
            created=date.min,
            package_version="",
        )
    except ValidationError as error:
        raise BundleError(f"cannot be described: {_fault(error)}") from error


def _fault(error: ValidationError) -> str:
    """Return the first fault, safe to print although its keys come from the file."""
    fault = error.errors()[0]
    where = ".".join(str(part) for part in fault["loc"])
    return printable(f'"{where}": {fault["msg"]}')
