"""Tables about images in any kind of file: text, Parquet of model hubs, and DermaMNIST's `.npz`.

Here: reading a table whatever it is, finding tables, and files that pack a table with its images. Not here:
tables of text and what columns are called (`text_tables`), and files that pack images alone
(`data.containers`).

References:
    DermaMNIST: Yang et al. (2023), https://doi.org/10.1038/s41597-022-01721-8
"""

import json
from abc import abstractmethod
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Final
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from lesionwise.encoding import encoded
from lesionwise.errors import DataError, ImageError, LesionwiseError, import_extra, reraised
from lesionwise.labels import CODES
from lesionwise.text_tables import Table, TextTable, names_of, verify_header
from lesionwise.wording import counted, listed, shortened

if TYPE_CHECKING:
    import pandas as pd

    from lesionwise.arrays import Pixels

ReadImage = Callable[[], bytes]
Columns = dict[str, Sequence[Any] | NDArray[Any]]

SUFFIXES: Final = (".csv", ".tab", ".tsv")
"""Ends of names that count as tables where a folder is searched."""
PARQUET: Final = ".parquet"
PACKED_SUFFIXES: Final = (PARQUET, ".npz")
"""Ends of names of files that pack a table with its images."""
DERMAMNIST_IDS: Final = "dermamnist_split_info.csv"
"""The list of the ids of DermaMNIST's images, as Abhishek et al. (2025) publish it."""
PARTS: Final = ("train", "val", "test")
"""Parts of DermaMNIST, in the order of their rows."""
_IMAGE: Final = "image"
_SHOWN: Final = 12  # columns that a note names
_EXPECTED: Final = "train_images, train_labels and so on of DermaMNIST"
_UNREADABLE: Final = (OSError, TypeError, ValueError, KeyError, BadZipFile)
_ROWS: Final = 1024  # rows of a table that are read at a time
_IMAGES: Final = 32  # images that are read at a time


class PackedTable(Table):
    """The table of a file that may pack images, too.

    A column `label` holds diagnoses where no other does. Images have the ids of a column, else their names.

    Attributes:
        has_images: Whether images are packed; the column `image` is the name of each image then.
    """

    def __init__(self, path: Path, header: Sequence[str], *, has_images: bool) -> None:
        super().__init__(path, header)
        self.has_images = has_images
        self.names = names_of(name for name in header if not (has_images and name == _IMAGE))
        if has_images:
            self.names.setdefault("image_id", _IMAGE)
        if "label" in header:
            self.names.setdefault("dx", "label")

    @abstractmethod
    def images(self) -> Iterator[ReadImage]:
        """Yield what returns the file of each image, in the order of the rows."""

    @abstractmethod
    def _columns(self, texts: Collection[str] | None = None) -> Iterator[Columns]:
        """Yield blocks of rows as the values of each column, `texts` as text; None or NaN is missing."""

    def _cells(self) -> Iterator[tuple[int, list[str]]]:
        rows = (cells for block in self._columns() for cells in zip(*block.values(), strict=True))
        for line, cells in enumerate(rows, 2):
            yield line, ["" if cell is None else cell for cell in cells]

    def _frame(self, texts: Collection[str] | None) -> "pd.DataFrame":
        import pandas as pd  # noqa: PLC0415 (which `predict` lacks)

        blocks = [pd.DataFrame(block) for block in self._columns(texts)]
        table = pd.concat(blocks or [pd.DataFrame(columns=[*self.header])], ignore_index=True)
        words = table.select_dtypes(exclude="number").columns
        return table.assign(**{str(name): table[name].fillna("").astype(object) for name in words})


class Parquet(PackedTable):
    """A Parquet file: columns of text and numbers, and `image` with bytes, alone or beside a path.

    Numbered labels are given by the names that the library `datasets` notes in the file. If two columns
    have one name, a file with images is refused at once; another file may lie in a folder by chance, and is
    refused when its rows are read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        types = import_extra("pyarrow.types")
        with self._open() as file:
            schema = file.schema_arrow
        nested = {field.name for field in schema if types.is_nested(field.type)}
        kinds = types.is_binary, types.is_large_binary, types.is_fixed_size_binary
        binary = {field.name for field in schema if any(of(field.type) for of in kinds)}
        lost = (nested | binary) - {_IMAGE}
        header = [name for name in schema.names if name not in lost]
        super().__init__(path, header, has_images=_IMAGE in nested | binary)
        if self.has_images:
            verify_header(path, header)
        self._has_paths = _IMAGE in nested and schema.field(_IMAGE).type.get_field_index("path") >= 0
        self._label_names = _label_names(schema.metadata or {})

    def _columns(self, texts: Collection[str] | None = None) -> Iterator[Columns]:
        verify_header(self.path, self.header)
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
        with self._unreadable():
            return import_extra("pyarrow.parquet").ParquetFile(self.path)

    def _batches(self, rows: int, columns: list[str]) -> Iterator[Any]:
        with self._unreadable(), self._open() as file:
            yield from file.iter_batches(rows, columns=columns)

    def _unreadable(self) -> AbstractContextManager[None]:
        what = f"{self.path}: cannot be read as Parquet: "
        return reraised(DataError, what, OSError, ValueError, after=". Get the file again.")  # as Arrow's are

    def _values(self, column: Any, name: str, texts: Collection[str] | None) -> Any:  # noqa: ANN401 (Arrow's)
        if name in self._label_names:
            return [_named(label, self._label_names[name]) for label in column.to_pylist()]
        arrow, kind = import_extra("pyarrow"), column.type
        number = arrow.types.is_integer(kind) or arrow.types.is_floating(kind)
        if texts is None or name in texts or not number:
            return column.cast(arrow.string()).to_pylist()
        return column.to_numpy(zero_copy_only=False)


class DermaMnist(PackedTable):
    """DermaMNIST of any size: `train_images`, `train_labels` and so on.

    Its images are called after part and row, or by their ids of HAM10000 where the list of them lies beside.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path, (_IMAGE, "dx", "split"), has_images=True)
        self._ids = _listed_ids(path.with_name(DERMAMNIST_IDS))
        self._labels = [labels.ravel() for labels in _arrays(path, [f"{part}_labels" for part in PARTS])]
        numbers = np.concatenate(self._labels)
        wrong = numbers[~np.isin(numbers, range(len(CODES)))]
        if len(wrong):
            raise DataError(
                f"{path}: expected one label from 0 to {len(CODES) - 1} for each image but found label "
                f"{wrong[0]}."
            )

    def _columns(self, texts: Collection[str] | None = None) -> Iterator[Columns]:
        del texts  # all columns are text
        for part, labels in zip(PARTS, self._labels, strict=True):
            names = [f"{part}_{row:05d}" for row in range(len(labels))]
            if self._ids:
                names = [self._ids.get(name, "") for name in names]
            yield {_IMAGE: names, "dx": np.asarray(CODES)[labels].tolist(), "split": [part] * len(labels)}

    def images(self) -> Iterator[ReadImage]:
        """Yield what makes a PNG file of each image, in the order of the rows."""
        for part, labels in zip(PARTS, self._labels, strict=True):
            pixels = _Pixels(self.path, f"{part}_images", len(labels))
            yield from (partial(pixels.png, row) for row in range(len(labels)))


class _Pixels:
    """The images of a part, which are unpacked together when the first is read."""

    def __init__(self, path: Path, name: str, count: int) -> None:
        self._path, self._name, self._count = path, name, count
        self._pixels: Pixels | None = None
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


def read_table(path: Path) -> Table:
    """Return a table whose header was read."""
    return read_packed(path) if path.suffix.lower() in PACKED_SUFFIXES else TextTable(path)


def read_packed(path: Path) -> PackedTable:
    """Return the table of a Parquet file or of DermaMNIST."""
    return Parquet(path) if path.suffix.lower() == PARQUET else DermaMnist(path)


def find_tables(folder: Path) -> list[Path]:
    """Return the tables of a folder, sorted by name: files with a suffix of `SUFFIXES`."""
    return sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in SUFFIXES and path.is_file() and not path.name.startswith(".")
    )


def describe_columns(path: Path, used: Collection[str]) -> str:
    """Return a sentence that says which columns of a table were used, and which were left."""
    table = read_table(path)
    ours = {theirs: own for own, theirs in table.names.items()}
    own = [column for column in table.header if column in used or ours.get(column) in used]
    read = [f"{column} as {ours[column]}" if ours.get(column, column) != column else column for column in own]
    left = [column or "(no name)" for column in table.header if column not in own]
    shown = shortened(left) if len(left) > _SHOWN else listed(left)
    return f"{path.name}: read {listed(read) or 'no column'}{f'; left {shown}' if left else ''}."


def verify_once(ids: "pd.Series[str]", source: Path, *, error: type[LesionwiseError] = DataError) -> None:
    """Make sure that each image id is in one row only."""
    twice = ids[ids.duplicated()]
    if len(twice):
        raise error(f"{source}: {twice.iloc[0]} is in more than one row. Keep one.")


def _listed_ids(path: Path) -> dict[str, str]:
    """Return the HAM10000 ids of DermaMNIST's images by part and row; none without their list."""
    if not path.is_file():
        return {}
    table = TextTable(path)
    if not {"split", "index", "image_id"} <= set(table.header):
        raise DataError(f"{path}: expected split, index and image_id but found {', '.join(table.header)}.")
    return {f"{row['split']}_{row['index'].zfill(5)}": row["image_id"] for _, row in table.rows()}


def _arrays(path: Path, names: list[str]) -> list[NDArray[Any]]:
    with reraised(DataError, f"{path}: expected {_EXPECTED} but ", *_UNREADABLE), np.load(path) as packed:
        return [packed[name] for name in names]


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
