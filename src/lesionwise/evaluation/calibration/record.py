"""`calibration.json`: what a model's raw outputs mean, as learnt on `cal`, and how it is applied.

Here: the record and its application: probabilities, prediction sets, decisions. Numpy and pydantic alone, so
that a served model needs no more. Not here: fitting (`scaling`, `conformal`, `operating_points`) and writing
the file (`evaluation.runs.calibrate`).
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final, Literal

import numpy as np
from numpy.typing import ArrayLike
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from typing_extensions import override

from lesionwise.arrays import Booleans, Floats
from lesionwise.errors import RunError
from lesionwise.evaluation.scores.weights import Probs
from lesionwise.files import read_json
from lesionwise.labels import CODES, INDEX, MALIGNANT

SCHEMA: Final = 1
NO_PROMISE: Final = "no promise for this class"
"""Stands where a number would, if `cal` holds too few lesions for it."""

NoPromise = Literal["no promise for this class"]
Question = Literal["melanoma", "malignant"]
Aim = Literal["sensitivity", "specificity"]
Rule = Literal["lac", "aps"]
Part = Annotated[float, Field(ge=0, le=1)]
Stamp = Literal["LEAKY SPLIT"]
Inner = Annotated[float, Field(gt=0, lt=1)]
Count = Annotated[int, Field(ge=0)]
Seven = Annotated[tuple[float, ...], Field(min_length=len(CODES), max_length=len(CODES))]

POSITIVE: Final[Mapping[Question, tuple[str, ...]]] = {"melanoma": ("mel",), "malignant": MALIGNANT}
"""The diagnoses that are a yes to each question."""


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class _Scaling(_Record):
    @property
    def factor(self) -> Floats:
        """What each logit is multiplied by, shape (C,)."""
        raise NotImplementedError

    @property
    def offset(self) -> Floats:
        """What is added after that, shape (C,)."""
        raise NotImplementedError

    def probabilities(self, logits: ArrayLike) -> Floats:
        """Return calibrated probabilities, shape (N, C)."""
        return softmax(np.asarray(logits, float) * self.factor + self.offset)


class TemperatureScaling(_Scaling):
    """One number that divides all logits: answers are more certain below 1 and less certain above it.

    References:
        Guo et al. (2017), https://arxiv.org/abs/1706.04599
    """

    method: Literal["temperature"] = "temperature"
    temperature: Annotated[float, Field(gt=0)]

    @property
    @override
    def factor(self) -> Floats:
        return np.full(len(CODES), 1 / self.temperature)

    @property
    @override
    def offset(self) -> Floats:
        return np.zeros(len(CODES))


class VectorScaling(_Scaling):
    """A factor and an offset for the logit of each diagnosis; the answer itself can change.

    References:
        Guo et al. (2017), https://arxiv.org/abs/1706.04599
    """

    method: Literal["vector"] = "vector"
    factors: Annotated[
        tuple[Annotated[float, Field(gt=0)], ...], Field(min_length=len(CODES), max_length=len(CODES))
    ]
    offsets: Seven

    @property
    @override
    def factor(self) -> Floats:
        return np.array(self.factors)

    @property
    @override
    def offset(self) -> Floats:
        return np.array(self.offsets)


Scaling = Annotated[TemperatureScaling | VectorScaling, Field(discriminator="method")]


class ClassQuantile(_Record):
    """How strange a diagnosis may look and still be in the set.

    Attributes:
        quantile: Greatest score (see `conformal`) that is let in, or `NO_PROMISE`: then the diagnosis is in
            every set, because nothing is known that would exclude it.
    """

    lesions: Count
    quantile: Part | NoPromise


class PredictionSets(_Record):
    """The rule by which diagnoses cannot be excluded.

    Attributes:
        rule: "lac" lets in each diagnosis that is probable enough; "aps" goes down the ranking.
        coverage: Of the lesions of each diagnosis, the part whose sets promise to hold it.
    """

    rule: Rule
    coverage: Inner
    classes: dict[str, ClassQuantile]

    @field_validator("classes")
    @classmethod
    def _all_seven(cls, classes: dict[str, ClassQuantile]) -> dict[str, ClassQuantile]:
        if set(classes) != set(CODES):
            raise ValueError(f"Expected the classes {', '.join(CODES)} but got {', '.join(classes)}")
        return classes

    @property
    def limits(self) -> Floats:
        """Largest nonconformity score of each diagnosis in a set, shape (C,); infinite without a promise."""
        found = [self.classes[code].quantile for code in CODES]
        return np.array([np.inf if isinstance(value, str) else value for value in found])

    def contains(self, y_prob: Probs) -> Booleans:
        """Return which diagnoses each set holds, shape (N, C); the likeliest is always in."""
        return np.asarray(nonconformity(np.asarray(y_prob, float), self.rule) <= self.limits)


class Interval(_Record):
    """A number and the 95 % interval around it."""

    value: Part
    low: Part
    high: Part


class OperatingPoint(_Record):
    """A threshold for a yes or no, and what it was worth on `cal`, each lesion counting once.

    Attributes:
        question: Melanoma against the rest, or `akiec`, `bcc`, `mel` against the rest.
        threshold: Yes from this probability on, or `NO_PROMISE`: then there is no decision.
        sensitivity: On `cal`; left out without a threshold.
        specificity: The same.
    """

    question: Question
    aim: Aim
    at_least: Inner
    threshold: Part | NoPromise
    sensitivity: Interval | None = None
    specificity: Interval | None = None
    positives: Count
    negatives: Count

    def decide(self, y_prob: Probs) -> Booleans | None:
        """Return whether each image reaches the threshold, shape (N,); None where there is none."""
        if isinstance(self.threshold, str):
            return None
        return np.asarray(question_probability(y_prob, self.question) >= self.threshold)


class Calibration(_Record):
    """All that was learnt on `cal`.

    Attributes:
        operating_points: Thresholds from probabilities to decisions; the first of a question is the one that
            is served.
        fingerprint: SHA-256 of the image ids, truths, lesions and logits that all of it was fitted on.
        split_fingerprint: Fingerprint of the split whose `cal` part they are; None if there was no split.
        stamp: "LEAKY SPLIT" if lesions of `cal` were trained on: then nothing here keeps its promise.
    """

    schema_version: Literal[1] = SCHEMA
    scaling: Scaling
    prediction_sets: PredictionSets
    operating_points: tuple[OperatingPoint, ...]
    images: Count
    lesions: Count
    fingerprint: str
    split_fingerprint: str | None = None
    stamp: Stamp | None = None

    def probabilities(self, logits: ArrayLike) -> Floats:
        """Return calibrated probabilities, shape (N, C)."""
        return self.scaling.probabilities(logits)

    def operating_point(self, question: Question) -> OperatingPoint | None:
        """Return the point that is served for a question, None if there is none."""
        return next((point for point in self.operating_points if point.question == question), None)


def read_calibration(path: Path) -> Calibration:
    """Read a `calibration.json`."""
    try:
        return Calibration.model_validate(read_json(path))
    except ValidationError as error:
        fault = error.errors()[0]
        where = ".".join(str(part) for part in fault["loc"])
        raise RunError(
            f'{path}: "{where}": {fault["msg"]}. Run "lesionwise calibrate {path.parent}" to write it anew.'
        ) from error


def softmax(logits: ArrayLike) -> Floats:
    """Return the probabilities that raw outputs stand for, shape (N, C)."""
    raw = np.asarray(logits, float)
    odds = np.exp(raw - raw.max(axis=-1, keepdims=True))
    return np.asarray(odds / odds.sum(axis=-1, keepdims=True))


def question_probability(y_prob: Probs, question: Question) -> Floats:
    """Return the probability of a yes, shape (N,): that of the diagnoses in `POSITIVE`, added up."""
    columns = [INDEX[code] for code in POSITIVE[question]]
    return np.asarray(np.asarray(y_prob, float)[:, columns].sum(axis=1))


def nonconformity(y_prob: Probs, rule: Rule) -> Floats:
    """Return how little each image looks like each diagnosis (the nonconformity score), shape (N, C).

    The likeliest diagnosis has 0: no set is without it, and the limits are fitted knowing that.

    Args:
        rule: "lac": one less the probability of the diagnosis. "aps": the probability of all that is
            likelier than it. (Romano et al. add a random part of its own probability; the same photograph
            would then get another set each time.)

    References:
        LAC: Sadinle, Lei, Wasserman (2019), https://arxiv.org/abs/1609.00451; APS: Romano, Sesia, Candès
        (2020), https://arxiv.org/abs/2006.02544
    """
    prob = np.asarray(y_prob, float)
    if rule == "lac":
        found = 1 - prob
    else:
        likelier = prob[:, None, :] > prob[:, :, None]
        found = np.minimum((likelier * prob[:, None, :]).sum(axis=2), 1)
    found[np.arange(len(prob)), prob.argmax(axis=1)] = 0
    return np.asarray(found)
