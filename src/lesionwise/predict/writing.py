"""The tables that `predict` writes: predictions, in our form or the ISIC challenge's, and errors.

Here: rows and files, with the standard library alone. A table grows under another name until it is whole;
`--resume` reads that one. Not here: what the numbers mean. Letters: N images.
"""

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Final, Literal, Self

from lesionwise.bundle.engine import Answers
from lesionwise.errors import DataError
from lesionwise.labels import CODES
from lesionwise.predict.sources import Picture

Format = Literal["lesionwise", "isic"]
FORMATS: Final[tuple[Format, ...]] = ("lesionwise", "isic")
_CHALLENGE: Final = ("mel", "nv", "bcc", "akiec", "bkl", "df", "vasc")  # the challenge's own order
_COLUMNS: Final[dict[Format, list[str]]] = {
    "lesionwise": [
        *("image_id", "path", "decision", "top", "malignant_probability", "prediction_set", "ood_score"),
        *(f"prob_{code}" for code in CODES),
        *(f"logit_{code}" for code in CODES),
    ],
    "isic": ["image", *(code.upper() for code in _CHALLENGE)],
}
_ERROR_COLUMNS: Final = ["image_id", "path", "reason"]


def table_rows(format_: Format, pictures: Sequence[Picture], answers: Answers) -> Iterator[list[str]]:
    """Yield the rows of some images; numbers keep seven digits.

    Args:
        format_: Whose columns.
        pictures: The images, N of them.
        answers: What the model said about them.
    """
    for row, picture in enumerate(pictures):
        prob = dict(zip(CODES, answers.probabilities[row], strict=True))
        if format_ == "isic":
            yield [picture.image_id, *(_number(prob[code]) for code in _CHALLENGE)]
            continue
        said = answers.decisions
        yield [
            picture.image_id,
            picture.path,
            str(said.decision[row]),
            str(said.top[row]),
            _number(said.malignant_probability[row]),
            " ".join(said.prediction_codes(row) or ()),
            "" if answers.ood_score is None else _number(answers.ood_score[row]),
            *map(_number, prob.values()),
            *map(_number, answers.logits[row]),
        ]


class GrowingTable:
    """A CSV that is written row by row and gets its name when it is whole.

    Args:
        path: Its name in the end; until then `.part` follows.
        columns: Its header.
        keep: Go on after the rows that an earlier call left, less one that was cut.
    """

    def __init__(self, path: Path, columns: list[str], *, keep: bool = False) -> None:
        self.path = path
        self.part = path.with_name(f"{path.name}.part")
        self.columns = columns
        self.keep = keep and self.part.exists()

    def __enter__(self) -> Self:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if self.keep:
            _drop_cut_line(self.part)
        self._file: IO[str] = self.part.open("a" if self.keep else "w", encoding="utf-8", newline="")
        self._writer = csv.writer(self._file, lineterminator="\n")
        if not self.keep:
            self._writer.writerow(self.columns)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        if kind is None:
            self.part.replace(self.path)

    def append(self, rows: Iterator[list[str]]) -> None:
        """Write rows and hand them to the system, so that a killed process loses none."""
        self._writer.writerows(rows)
        self._file.flush()

    def ids(self) -> set[str]:
        """Return the first column of what is kept.

        Raises:
            DataError: If the file that is kept has other columns.
        """
        if not self.keep:
            return set()
        _drop_cut_line(self.part)
        with self.part.open(encoding="utf-8", newline="") as file:
            rows = csv.reader(file)
            if next(rows, None) != self.columns:
                raise DataError(f"{self.part}: has other columns. Leave --resume out to start anew.")
            return {row[0] for row in rows}


def prediction_table(path: Path, format_: Format, *, resume: bool) -> GrowingTable:
    """Return the table of predictions."""
    return GrowingTable(path, _COLUMNS[format_], keep=resume)


def error_table(path: Path) -> GrowingTable:
    """Return the table of images that could not be read; a resumed call tries them again."""
    return GrowingTable(path, _ERROR_COLUMNS)


def _drop_cut_line(path: Path) -> None:
    """Cut off what follows the last line break: a row that a killed process left half written."""
    with path.open("r+b") as file:
        content = file.read()  # a million rows are some 250 MB
        file.truncate(content.rfind(b"\n") + 1)


def _number(value: float) -> str:
    return f"{float(value):.7g}"
