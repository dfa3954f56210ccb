"""What is known of a lesion besides its image: age, sex and site, as numbers that a model can take.

Here: the encoding, with numpy alone, for training and for serving; a bundle holds it as it is. Not here:
what a model makes of the numbers (`models.network`). Unknown values become all zeros and add nothing.

`dx_type` and `dataset` have no encoding: they tell how a diagnosis was made.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Final, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from lesionwise.arrays import Float32s
from lesionwise.errors import DataError

if TYPE_CHECKING:
    from lesionwise.recipe import MetadataName  # see `preprocess`

Value = str | float | None
Record = Mapping[str, Value]

UNKNOWN: Final = ("", "unknown", "nan")
SEXES: Final = ("female", "male")
SITES: Final = (  # as HAM10000 spells them
    *("abdomen", "acral", "back", "chest", "ear", "face", "foot", "genital", "hand"),
    *("lower extremity", "neck", "scalp", "trunk", "upper extremity"),
)
_MIDDLE_AGE, _AGE_SCALE, _OLDEST = 50.0, 20.0, 120.0
_MOST_SHOWN: Final = 40  # characters of a value that a message repeats

Word = Annotated[str, Field(min_length=1, max_length=40, pattern=r"^[a-z][a-z /-]*$")]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class NumberField(_Part):
    """A number, as two: how far it lies from the middle, and whether it is known.

    Attributes:
        middle: Number that becomes 0.
        scale: Distance from the middle that becomes 1.
        most: Larger numbers, and numbers below 0, are refused.
    """

    name: Literal["age"] = "age"
    unit: Literal["years"] = "years"
    middle: float
    scale: Annotated[float, Field(gt=0)]
    most: Annotated[float, Field(gt=0)]

    @property
    def length(self) -> int:
        """How many numbers it becomes."""
        return 2

    def encode(self, value: Value) -> list[float] | None:
        """Return the numbers that a value becomes; None if the field may not have this value."""
        try:
            number = float(value) if value is not None else math.nan
        except ValueError:
            return None
        return [(number - self.middle) / self.scale, 1.0] if 0 <= number <= self.most else None

    @property
    def expected(self) -> str:
        """The values that it may have, in words."""
        return f"{self.unit} from 0 to {self.most:g}"


class WordField(_Part):
    """One of some words; each word has a number, which is 1 if the value is that word."""

    name: Literal["sex", "localization"]
    words: Annotated[tuple[Word, ...], Field(min_length=1, max_length=256)]

    @property
    def length(self) -> int:
        """How many numbers it becomes."""
        return len(self.words)

    def encode(self, value: Value) -> list[float] | None:
        """Return the numbers that a value becomes; None if the field may not have this value."""
        word = str(value).strip().lower()
        return [float(word == own) for own in self.words] if word in self.words else None

    @property
    def expected(self) -> str:
        """The values that it may have, in words."""
        return " or ".join(filter(None, [", ".join(self.words[:-1]), self.words[-1]]))


class Encoding(_Part):
    """How metadata become the numbers that a model takes, field after field."""

    fields: Annotated[tuple[NumberField | WordField, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _each_once(self) -> "Encoding":
        if len(set(self.names)) != len(self.names):
            raise ValueError("Expected each field once")
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the fields."""
        return tuple(field.name for field in self.fields)

    @property
    def length(self) -> int:
        """How many numbers M all fields become."""
        return sum(field.length for field in self.fields)

    def encode(self, records: Iterable[Record | None]) -> Float32s:
        """Return the numbers of some images, shape (N, M).

        Args:
            records: Value by name of the field; what is missing, empty or "unknown" is not known. None if
                nothing is. Other names are not looked at.

        Raises:
            DataError: If a field may not have its value; the message does not name the image.
        """
        rows = [self._row(record) for record in records]
        return np.asarray(rows, np.float32).reshape(len(rows), self.length)

    def known(self, records: Iterable[Record]) -> list[Record]:
        """Return records of a data folder as `encode` takes them: invalid values count as unknown."""
        return [
            {field.name: value for field in self.fields if field.encode(value := record.get(field.name))}
            for record in records
        ]

    def encode_table(self, columns: Mapping[str, Sequence[Value]], count: int) -> Float32s:
        """Return the numbers of the rows of a table, shape (N, M); invalid values count as unknown."""
        own = {name: columns[name] for name in self.names if name in columns}
        rows = ({name: values[row] for name, values in own.items()} for row in range(count))
        return self.encode(self.known(rows))

    def verify_names(self, names: Iterable[str]) -> None:
        """Make sure that a model takes fields of these names."""
        for name in names:
            if name not in self.names:
                raise DataError(f"the model does not take {_shown(name)}; it takes {', '.join(self.names)}")

    def _row(self, record: Record | None) -> list[float]:
        numbers: list[float] = []
        for field in self.fields:
            value = (record or {}).get(field.name)
            encoded = None if is_unknown(value) else field.encode(value)
            if encoded is None and not is_unknown(value):
                raise DataError(f'expected {field.name} to be {field.expected} but got "{_shown(value)}"')
            numbers += encoded or [0.0] * field.length
        return numbers


def encoding_of(names: "Sequence[MetadataName]") -> Encoding:
    """Return how metadata of these names are encoded; the words are HAM10000's, whatever a table holds."""
    known: dict[str, NumberField | WordField] = {
        "age": NumberField(middle=_MIDDLE_AGE, scale=_AGE_SCALE, most=_OLDEST),
        "sex": WordField(name="sex", words=SEXES),
        "localization": WordField(name="localization", words=SITES),
    }
    return Encoding(fields=tuple(known[name] for name in names))


def is_unknown(value: Value) -> bool:
    """Return whether a value says that nothing is known: missing, empty, "unknown" or NaN."""
    if isinstance(value, float):
        return math.isnan(value)
    return value is None or str(value).strip().lower() in UNKNOWN


def _shown(value: object) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in str(value)[:_MOST_SHOWN])
