"""What `predict` writes: tables of predictions and errors, in our form or that of the challenge; heatmaps.

A table has another name until it is complete; `--resume` reads that file. A record beside the table keeps the
settings of its rows. Not here: the meaning of the numbers.

    p.csv.part   p.csv.part.json       while it grows
    p.csv        p.csv.settings.json   when it is complete
"""

import csv
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Final, Literal, Self

import numpy as np
from PIL import Image

from lesionwise.arrays import Pixels
from lesionwise.bundle.answers import COLUMNS, Answers
from lesionwise.bundle.engine import Engine
from lesionwise.bundle.rendering import draw_over
from lesionwise.data.pictures import SCHEME, Picture
from lesionwise.errors import BundleError, DataError
from lesionwise.files import atomic_path, blamed_on, copy_file, read_json, sole_writer, write_json
from lesionwise.labels import INDEX

Format = Literal["lesionwise", "isic"]
_CHALLENGE: Final = ("mel", "nv", "bcc", "akiec", "bkl", "df", "vasc")  # the challenge's own order
_COLUMNS: Final[dict[Format, list[str]]] = {
    "lesionwise": list(COLUMNS),
    "isic": ["image", *(code.upper() for code in _CHALLENGE)],
}
_ERROR_COLUMNS: Final = ["image_id", "path", "reason"]
_TAIL: Final = 1 << 16  # bytes that are searched at a time for the last line break
_HASH: Final = re.compile("[0-9a-f]{64}")
_SHOWN: Final = 12  # characters of a hash in messages


def table_rows(format_: Format, pictures: Sequence[Picture], answers: Answers) -> Iterator[list[str]]:
    """Yield the rows of some images; numbers keep seven digits."""
    image_ids = [picture.image_id for picture in pictures]
    if format_ == "isic":
        places = [INDEX[code] for code in _CHALLENGE]
        columns: list[Any] = [image_ids, *answers.probabilities.T[places]]
    else:
        columns = answers.columns(image_ids, [picture.path for picture in pictures])
    for row in zip(*columns, strict=True):
        yield [number_text(cell) if isinstance(cell, float | np.floating) else str(cell) for cell in row]


@dataclass(frozen=True)
class Kept:
    """The rows of an earlier call, as 64-bit hashes; none by default.

    Attributes:
        folder: Folder of relative paths in its rows.
        rows: Hash of the file by that of the image_id.
        files: Hashes of all files; None if the table has no paths.
    """

    table: Path = Path()
    folder: str = ""
    rows: Mapping[int, int] = field(default_factory=dict)
    files: frozenset[int] | None = frozenset()

    def holds(self, picture: Picture) -> bool:
        """Return whether a picture has a row: for the same file, and for its id in a table of paths.

        Raises:
            DataError: If its path is relative to another folder than those of the rows.
        """
        if not self.files:
            return self.files is None and self.has_name_of(picture)
        relative = SCHEME not in picture.path and not os.path.isabs(picture.path)  # noqa: PTH117 (fast)
        if relative and self.folder != str(Path.cwd()):
            raise DataError(
                f"{self.table}: was started in {self.folder}, and its relative paths start there. Resume it "
                f"there, or pass images by absolute paths instead of {picture.path}."
            )
        file = hash(absolute_path(picture.path, self.folder))
        return self.rows.get(hash(picture.image_id)) == file if picture.named else file in self.files

    def has_name_of(self, picture: Picture) -> bool:
        """Return whether a row has the image_id of a picture."""
        return hash(picture.image_id) in self.rows


def absolute_path(path: str, folder: str = "") -> str:
    """Return the absolute path of a picture; an address in object storage stays as it is.

    Args:
        folder: Folder of a relative path; the working directory if left out.
    """
    folder = folder or str(Path.cwd())
    return path if SCHEME in path else os.path.normpath(os.path.join(folder, path))  # noqa: PTH118 (fast)


class GrowingTable:
    """A CSV that grows row by row, and gets its final name when it is complete.

    Args:
        path: Its final name; until then it ends in `.part`.
    """

    def __init__(self, path: Path, columns: list[str]) -> None:
        self.path = path
        self.part = part_path(path)
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
            with suppress(OSError):  # of a full disk, which was reported with the rows
                self._file.close()
            if kind is None:
                settings_path(self.path).unlink(missing_ok=True)  # no record stands beside another table
                self.part.replace(self.path)
                if self.record.exists():
                    self.record.replace(settings_path(self.path))

    def begin(self, settings: Mapping[str, object], *, resume: bool) -> Kept:
        """Make the table before its first row, with a record of its settings beside it.

        Args:
            settings: Settings that a call must share with the one that it continues.
            resume: Keep the rows of an earlier call, without an incomplete last one. The earlier call may
                also have ended; new images are then added.

        Raises:
            DataError: If the rows to keep have other settings or other columns.
        """
        finished = not self.part.exists() and self.path.exists()
        if resume and finished:
            record = settings_path(self.path)
            if not record.exists() and self.record.exists():  # killed just before the move
                record = self.record
            folder = self._verify_same(record, settings)
            write_json(self.record, read_json(record))
            copy_file(self.path, self.part)
            return self._continue(folder)
        if resume and self.part.exists():
            _drop_cut_line(self.part)
            if self.part.stat().st_size:
                return self._continue(self._verify_same(self.record, settings))
        here = str(Path.cwd())
        self.part.write_bytes(b"")  # before the record, which must never be beside older rows
        write_json(self.record, {"folder": here, "settings": settings})
        self._open("w")
        return Kept(self.path, here)

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

    def _verify_same(self, record: Path, settings: Mapping[str, object]) -> str:
        """Return the folder in which a table was started, after comparing the settings."""
        before = read_json(record) if record.exists() else {}
        noted = before.get("settings")
        if noted is None:
            raise DataError(
                f"{self.path}: expected {record.name} beside it, with the settings of its rows, but found "
                "none. Leave --resume out to start again."
            )
        changed = [
            f"{name} was {_shown(noted.get(name))}, now {_shown(value)}"
            for name, value in settings.items()
            if noted.get(name) != value
        ]
        if changed:
            raise DataError(
                f"{self.path}: was started with other settings: {'; '.join(changed)}. Resume with the same "
                "settings, or leave --resume out to start again."
            )
        return str(before["folder"])

    def _continue(self, folder: str) -> Kept:
        with self.part.open(encoding="utf-8", newline="") as file:
            rows = csv.reader(file)
            if next(rows, None) != self.columns:
                raise DataError(f"{self.part}: has other columns. Leave --resume out to start again.")
            place = self.columns.index("path") if "path" in self.columns else None
            kept = {
                hash(row[0]): 0 if place is None else hash(absolute_path(row[place], folder))
                for row in rows
                if len(row) > (place or 0)
            }
        self._open("a")
        return Kept(self.path, folder, kept, None if place is None else frozenset(kept.values()))


def part_path(table: Path) -> Path:
    """Return the path of a table that still grows."""
    return table.with_name(f"{table.name}.part")


def settings_path(table: Path) -> Path:
    """Return the path of the record of a finished table."""
    return table.with_name(f"{table.name}.settings.json")


def _shown(value: object) -> str:
    """Return a setting for a message; hashes are shortened."""
    if value is None or isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, list):
        return " ".join(map(str, value))
    return _HASH.sub(lambda found: found[0][:_SHOWN], str(value))


def prediction_table(path: Path, format_: Format, further: Sequence[str] = ()) -> GrowingTable:
    """Return the table of predictions. `further`: columns after those of its format."""
    verify_record(path)
    return GrowingTable(path, [*_COLUMNS[format_], *further])


def verify_record(table: Path) -> None:
    """Make sure that the path of a table's record is free, or has an earlier record."""
    record = settings_path(table)
    found = read_json(record) if record.exists() else {"settings": {}}
    if not isinstance(found, dict) or "settings" not in found:
        raise DataError(
            f"{record}: expected the settings of an earlier prediction but found something else. Pass "
            "another --out."
        )


def error_table(path: Path) -> GrowingTable:
    """Return the table of images that could not be predicted; a resumed call tries them again."""
    if path.exists() and not _is_error_table(path):
        raise DataError(
            f"{path}: expected an earlier table of errors but found something else. Pass another path."
        )
    return GrowingTable(path, _ERROR_COLUMNS)


def drop_error_table(path: Path) -> None:
    """Remove the errors of an earlier call, now that there are none."""
    if _is_error_table(path):
        path.unlink()


def _is_error_table(path: Path) -> bool:
    header = f"{','.join(_ERROR_COLUMNS)}\n".encode()
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(header)) == header


def _drop_cut_line(path: Path) -> None:
    """Cut off everything after the last line break: an incomplete row of a killed process.

    No field contains a line break, because `data.pictures` escapes them in names.
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


def number_text(value: "float | np.floating[Any]") -> str:
    """Return a number as a table has it, with seven digits; empty for NaN."""
    return "" if value != value else f"{float(value):.7g}"  # noqa: PLR0124 (NaN)


class HeatmapWriter:
    """Writes `<image_id>.png`: the map of the most likely diagnosis over the input of the model."""

    def __init__(self, engine: Engine, folder: Path) -> None:
        if "cam" not in engine.description.outputs:
            raise BundleError(
                f"{engine.bundle.path}: has no exact maps. --heatmaps needs a single network that pools at "
                "its end, such as that of --model best."
            )
        self.zoom = engine.description.input.zoom
        self.folder = folder

    def __call__(self, pictures: list[Picture], pixels: Pixels, answers: Answers) -> None:
        """Write the maps of one batch."""
        for picture, image, answer in zip(pictures, pixels, answers, strict=True):
            assert answer.heatmap is not None  # noqa: S101 (the bundle says that it has one)
            drawn = draw_over(image, answer.heatmap, self.zoom)
            path = self._path(picture.image_id)
            path.parent.mkdir(parents=True, exist_ok=True)
            with atomic_path(path) as temporary:
                Image.fromarray(drawn).save(temporary, "PNG")

    def _path(self, image_id: str) -> Path:
        """Return the file of a map; a name from a zip or a table never leads out of the folder."""
        parts = image_id.replace("\\", "/").split("/")
        return self.folder / f"{'/'.join(part for part in parts if part not in {'', '.', '..'})}.png"
