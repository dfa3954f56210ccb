"""The tables that `predict` writes: predictions, in our form or the ISIC challenge's, and errors.

Here: rows and files, with the standard library alone. A table grows under another name until it is whole;
`--resume` reads that one. Not here: what the numbers mean.
"""

import csv
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Final, Literal, Self

from lesionwise.bundle.answers import Answers
from lesionwise.bundle.load import Bundle
from lesionwise.data.pictures import Picture
from lesionwise.errors import DataError
from lesionwise.files import blamed_on, copy_file, read_json, sole_writer, write_json
from lesionwise.labels import CODES
from lesionwise.names import inert_name

Format = Literal["lesionwise", "isic"]
_CHALLENGE: Final = ("mel", "nv", "bcc", "akiec", "bkl", "df", "vasc")  # the challenge's own order
_COLUMNS: Final[dict[Format, list[str]]] = {
    "lesionwise": [
        *("image_id", "path", "decision", "top", "malignant_probability", "prediction_set", "ood_score"),
        *(f"prob_{code}" for code in CODES),
        *(f"logit_{code}" for code in CODES),
        *("model", "model_sha256"),
    ],
    "isic": ["image", *(code.upper() for code in _CHALLENGE)],
}
_ERROR_COLUMNS: Final = ["image_id", "path", "reason"]
_TAIL: Final = 1 << 16  # bytes that are searched at once for the last line break


def table_rows(
    format_: Format, pictures: Sequence[Picture], answers: Answers, bundle: Bundle
) -> Iterator[list[str]]:
    """Yield the rows of some images; numbers keep seven digits.

    Args:
        bundle: The model, which each row names: a score can then be checked against what it was trained on.
    """
    decisions, probabilities, logits = (
        answers.decisions,
        answers.probabilities.tolist(),
        answers.logits.tolist(),
    )
    for row, picture in enumerate(pictures):
        if format_ == "isic":
            prob = dict(zip(CODES, probabilities[row], strict=True))
            yield [picture.image_id, *(_number(prob[code]) for code in _CHALLENGE)]
            continue
        yield [
            picture.image_id,
            picture.path,
            str(decisions.decision[row]),
            str(decisions.top[row]),
            _number(decisions.malignant_probability[row]),
            " ".join(decisions.prediction_codes(row) or ()),
            "" if answers.ood_score is None else _number(answers.ood_score[row]),
            *map(_number, probabilities[row]),
            *map(_number, logits[row]),
            inert_name(bundle.description.name),
            bundle.sha256,
        ]


class GrowingTable:
    """A CSV that is made with its first row, grows row by row, and gets its name when it is whole.

    Args:
        path: Its name in the end; until then `.part` follows.
    """

    def __init__(self, path: Path, columns: list[str]) -> None:
        self.path = path
        self.part = path.with_name(f"{path.name}.part")
        self.record = path.with_name(f"{path.name}.part.json")
        self.columns = columns
        self._file: IO[str] | None = None
        self._held = ExitStack()

    def __enter__(self) -> Self:
        self._held.enter_context(sole_writer(self.path))
        self.path.parent.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._held:
            if self._file is None:
                return
            with suppress(OSError):  # of a full disk, which was reported when the rows were written
                self._file.close()
            if kind is None:
                self.part.replace(self.path)
                self.record.unlink(missing_ok=True)

    def begin(self, settings: Mapping[str, object], *, resume: bool) -> set[int]:
        """Make the table before its first row, with a record beside it of how its rows are made.

        Args:
            settings: What a call must share with the one that it goes on after.
            resume: Go on after the rows that an earlier call left, less one that was cut; also of one that
                ended, for images that came since.

        Returns:
            The hash of each first column that is kept.

        Raises:
            DataError: If the rows to keep were made with other settings or have other columns.
        """
        if resume and not self.part.exists() and self.path.exists():
            self._take_up(settings)
        if resume and self.part.exists():
            _drop_cut_line(self.part)
            if self.part.stat().st_size:
                kept = self._kept(settings)
                self._open("a")
                return kept
        self.part.write_bytes(b"")  # before the record, which must never stand beside older rows
        write_json(self.record, settings)
        self._open("w")
        return set()

    def append(self, rows: Iterable[list[str]]) -> None:
        """Write rows and hand them to the system, so that a killed process loses none."""
        file = self._file or self._open("w")
        with blamed_on(self.path):
            csv.writer(file, lineterminator="\n").writerows(rows)
            file.flush()

    def _open(self, mode: Literal["a", "w"]) -> IO[str]:
        self._file = self.part.open(mode, encoding="utf-8", newline="")
        if mode == "w":
            self.append([self.columns])
        return self._file

    def _take_up(self, settings: Mapping[str, object]) -> None:
        """Go on after a table that an earlier call finished; only its model is known."""
        with self.path.open(encoding="utf-8", newline="") as file:
            rows = csv.DictReader(file)
            models = {row.get("model_sha256") for row in rows}
        if models - {settings.get("model")}:  # a table in the challenge's form names none
            raise DataError(
                f"{self.path}: was predicted with another model, or does not name one. Leave --resume out "
                "to start anew."
            )
        write_json(self.record, settings)
        copy_file(self.path, self.part)

    def _kept(self, settings: Mapping[str, object]) -> set[int]:
        before = read_json(self.record) if self.record.exists() else {}
        if differs := [name for name, value in settings.items() if before.get(name) != value]:
            raise DataError(
                f"{self.part}: was begun with another {' and '.join(differs)}. "
                "Resume with the same, or leave --resume out to start anew."
            )
        with self.part.open(encoding="utf-8", newline="") as file:
            rows = csv.reader(file)
            if next(rows, None) != self.columns:
                raise DataError(f"{self.part}: has other columns. Leave --resume out to start anew.")
            return {hash(row[0]) for row in rows if row}


def prediction_table(path: Path, format_: Format) -> GrowingTable:
    """Return the table of predictions."""
    return GrowingTable(path, _COLUMNS[format_])


def error_table(path: Path) -> GrowingTable:
    """Return the table of images that could not be predicted; a resumed call tries them again."""
    if path.exists() and not _is_error_table(path):
        raise DataError(
            f"{path}: expected a table of errors to replace but found something else; name another."
        )
    return GrowingTable(path, _ERROR_COLUMNS)


def drop_error_table(path: Path) -> None:
    """Remove what an earlier call listed, now that nothing is wrong."""
    if _is_error_table(path):
        path.unlink()


def _is_error_table(path: Path) -> bool:
    header = f"{','.join(_ERROR_COLUMNS)}\n".encode()
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(header)) == header


def _drop_cut_line(path: Path) -> None:
    """Cut off what follows the last line break: a row that a killed process left half written.

    No field holds a line break: `data.pictures` escapes them in names.
    """
    with path.open("r+b") as file:
        end = file.seek(0, os.SEEK_END)
        while end:
            start = max(0, end - _TAIL)
            file.seek(start)
            if (found := file.read(end - start).rfind(b"\n")) >= 0:
                end = start + found + 1
                break
            end = start
        file.truncate(end)


def _number(value: float) -> str:
    return f"{float(value):.7g}"
