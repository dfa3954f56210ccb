"""Files that pack images with their table: Parquet of model hubs, and DermaMNIST's `.npz`.

Here: their columns and their images, and importing Arrow, which is an extra. Not here: what columns are
called (`tables`), and files that pack images alone (`data.containers`).

References:
    DermaMNIST: Yang et al. (2023), https://doi.org/10.1038/s41597-022-01721-8
"""

import json
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import partial
from importlib import import_module
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Final
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from lesionwise.encoding import encoded
from lesionwise.errors import DataError, ImageError, needing
from lesionwise.labels import CODES
from lesionwise.wording import counted

if TYPE_CHECKING:
    from types import ModuleType

ReadImage = Callable[[], bytes]
Columns = dict[str, Sequence[Any] | NDArray[Any]]

PARQUET: Final = ".parquet"
PARTS: Final = ("train", "val", "test")
"""Parts of DermaMNIST, in the order of their rows."""
_IMAGE: Final = "image"
_ROWS: Final = 1024  # rows of a table that are read at a time
_IMAGES: Final = 32  # images that are read at a time


class Parquet:
    """A Parquet file: columns of text and numbers, and `image` with bytes, alone or beside a path.

    Numbered labels are given by the names that the library `datasets` notes in the file.

    Attributes:
        header: Its columns. Where images are packed, `image` is the name of each image.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        types = import_arrow().types
        with self._open() as file:
            schema = file.schema_arrow
        nested = {field.name for field in schema if types.is_nested(field.type)}
        kinds = types.is_binary, types.is_large_binary, types.is_fixed_size_binary
        binary = {field.name for field in schema if any(of(field.type) for of in kinds)}
        self.has_images = _IMAGE in nested | binary
        self._has_paths = _IMAGE in nested and schema.field(_IMAGE).type.get_field_index("path") >= 0
        lost = (nested | binary) - {_IMAGE}
        self.header = tuple(name for name in schema.names if name not in lost)
        self._label_names = _label_names(schema.metadata or {})

    def columns(self, texts: Collection[str] | None = None) -> Iterator[Columns]:
        """Yield blocks of rows as the values of each column, `texts` as text; None or NaN is missing."""
        first = 0
        wanted = [name for name in self.header if name != _IMAGE or not self.has_images]
        read = [*wanted, *([f"{_IMAGE}.path"] if self._has_paths else [])]
        for batch in self._batches(_ROWS, read):
            rows = {name: self._values(batch.column(name), name, texts) for name in wanted}
            if self.has_images:
                paths = batch.column(_IMAGE).to_pylist() if self._has_paths else [{}] * len(batch)
                rows[_IMAGE] = [
                    (path or {}).get("path") or f"{self.path.stem}_{row:05d}"
                    for row, path in enumerate(paths, first)
                ]
            first += len(batch)
            yield {name: rows[name] for name in self.header}

    def images(self) -> Iterator[ReadImage]:
        """Yield what reads the file of each image, in the order of the rows."""
        if _IMAGE not in self.header:
            raise DataError(
                f"{self.path}: expected a column {_IMAGE} but found {', '.join(self.header) or 'none'}."
            )
        for batch in self._batches(_IMAGES, [_IMAGE]):
            yield from (partial(_content, cell) for cell in batch.column(0))

    def _open(self) -> Any:  # noqa: ANN401 (Arrow's)
        try:
            return import_arrow("parquet").ParquetFile(self.path)
        except (OSError, ValueError) as error:  # Arrow's own errors are both
            raise self._unreadable(error) from error

    def _batches(self, rows: int, columns: list[str]) -> Iterator[Any]:
        try:
            with self._open() as file:
                yield from file.iter_batches(rows, columns=columns)
        except OSError as error:
            raise self._unreadable(error) from error

    def _unreadable(self, error: Exception) -> DataError:
        reason = str(error).rstrip(".")
        return DataError(f"{self.path}: cannot be read as Parquet: {reason}. Get the file again.")

    def _values(self, column: Any, name: str, texts: Collection[str] | None) -> Any:  # noqa: ANN401 (Arrow's)
        if name in self._label_names:
            return [_named(label, self._label_names[name]) for label in column.to_pylist()]
        arrow, kind = import_arrow(), column.type
        number = arrow.types.is_integer(kind) or arrow.types.is_floating(kind)
        if texts is None or name in texts or not number:
            return column.cast(arrow.string()).to_pylist()
        return column.to_numpy(zero_copy_only=False)


class DermaMnist:
    """DermaMNIST of any size: `train_images`, `train_labels` and so on, without ids."""

    header: tuple[str, ...] = (_IMAGE, "dx", "split")
    has_images = True

    def __init__(self, path: Path) -> None:
        self.path = path
        self._labels = [labels.ravel() for labels in _arrays(path, [f"{part}_labels" for part in PARTS])]
        numbers = np.concatenate(self._labels)
        wrong = numbers[~np.isin(numbers, range(len(CODES)))]
        if len(wrong):
            raise DataError(
                f"{path}: expected one label from 0 to {len(CODES) - 1} for each image but found label "
                f"{wrong[0]}."
            )

    def columns(self, texts: Collection[str] | None = None) -> Iterator[Columns]:
        """Yield the rows of each part as the values of each column."""
        del texts  # all columns are text
        for part, labels in zip(PARTS, self._labels, strict=True):
            names = [f"{part}_{row:05d}" for row in range(len(labels))]
            yield {_IMAGE: names, "dx": np.asarray(CODES)[labels].tolist(), "split": [part] * len(labels)}

    def images(self) -> Iterator[ReadImage]:
        """Yield what makes a PNG file of each image, in the order of the rows."""
        for part, labels in zip(PARTS, self._labels, strict=True):
            pixels = _Pixels(self.path, f"{part}_images", len(labels))
            yield from (partial(pixels.png, row) for row in range(len(labels)))


Packed = Parquet | DermaMnist
"""A file that packs a table, and images if it has any."""


class _Pixels:
    """The images of a part, which are unpacked together when the first is read."""

    def __init__(self, path: Path, name: str, count: int) -> None:
        self._path, self._name, self._count = path, name, count
        self._pixels: NDArray[np.uint8] | None = None
        self._lock = Lock()  # several threads read

    def png(self, row: int) -> bytes:
        with self._lock:
            if self._pixels is None:
                [pixels] = _arrays(self._path, [self._name])
                if len(pixels) != self._count:
                    raise DataError(
                        f"{self._path}: expected one label for each image but found "
                        f"{counted(self._count, 'label')} of {counted(len(pixels), 'image')} in {self._name}."
                    )
                self._pixels = pixels
        return encoded(self._pixels[row], "PNG")


def open_packed(path: Path) -> Packed:
    """Return the table of a Parquet file or of DermaMNIST."""
    return Parquet(path) if path.suffix.lower() == PARQUET else DermaMnist(path)


def _arrays(path: Path, names: list[str]) -> list[NDArray[Any]]:
    try:
        with np.load(path) as packed:
            return [packed[name] for name in names]
    except (OSError, TypeError, ValueError, KeyError, BadZipFile) as error:
        raise DataError(
            f"{path}: expected train_images, train_labels and so on of DermaMNIST but {error}."
        ) from error


def import_arrow(part: str = "") -> "ModuleType":
    """Return Arrow, or a part of it. `part`: such as "parquet"."""
    with needing("pyarrow"):
        return import_module(f"pyarrow.{part}" if part else "pyarrow")


def _label_names(metadata: dict[bytes, bytes]) -> dict[str, list[str]]:
    """Return the names of numbered labels by column, as the library `datasets` writes them."""
    try:
        noted = json.loads(metadata.get(b"huggingface", b"{}"))
    except ValueError:
        return {}
    features = ((noted or {}).get("info") or {}).get("features") or {}
    return {name: feature["names"] for name, feature in features.items() if "names" in feature}


def _named(label: object, names: list[str]) -> str | None:
    """Return the name of a numbered label; None for a number that has none, such as -1 for "unlabelled"."""
    if isinstance(label, int):
        return names[label] if 0 <= label < len(names) else None
    return None if label is None else str(label)


def _content(cell: Any) -> bytes:  # noqa: ANN401 (a value of Arrow)
    """Return the file of an image: its cell is the bytes, or holds them beside a path."""
    value = cell.as_py()
    content = value.get("bytes") if isinstance(value, dict) else value
    if not isinstance(content, bytes):
        raise ImageError(
            "has no bytes in its row. Export the images with their bytes embedded, not only with paths"
        )
    return content
