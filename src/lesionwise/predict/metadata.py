"""Metadata tables: age, sex and site of images, a row for each image.

Not here: how values become numbers (`lesionwise.data.metadata`).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from lesionwise.arrays import Float32s
from lesionwise.bundle.engine import Engine
from lesionwise.data.metadata import Encoding, Record
from lesionwise.data.pictures import ID_COLUMN, PATH_COLUMN, Picture
from lesionwise.errors import DataError
from lesionwise.files import file_sha256
from lesionwise.names import image_id_of, inert_name, is_end_of
from lesionwise.tables import describe_columns, read_table
from lesionwise.text_tables import ID_NAMES, WIDE_SITES, Table


@dataclass(frozen=True)
class MetadataTable:
    """A metadata table in memory, some 300 bytes for each row.

    Attributes:
        fingerprint: SHA-256 of its file, and the values for all other pictures.
        key: Column that identifies pictures.
        places: Row by the value of that column.
        names: Ids by the name of their file, without folders and suffix.
        numbers: Encoded, shape (N + 1, M); the last row holds for every picture without a row.
        columns: A sentence on the columns that were used and left.
    """

    fingerprint: str
    key: str
    places: dict[str, int]
    names: dict[str, list[str]]
    numbers: Float32s
    columns: str = ""

    def numbers_of(self, pictures: Sequence[Picture]) -> Float32s:
        """Return the encoded metadata of some pictures, shape (B, M)."""
        return self.numbers[[self._row(picture) for picture in pictures]]

    def knows(self, picture: Picture) -> bool:
        """Return whether a picture has a row."""
        return self._row(picture) >= 0

    def _row(self, picture: Picture) -> int:
        if self.key == PATH_COLUMN:
            return self.places.get(_resolved(picture.path), -1)
        if picture.image_id in self.places:
            return self.places[picture.image_id]
        alike = self.names.get(image_id_of(picture.image_id), [])
        fitting = [name for name in alike if is_end_of(picture.image_id, name)]
        return self.places[fitting[0]] if len(fitting) == 1 else -1


def same_for_all(record: Record, engine: Engine, table: MetadataTable | None = None) -> MetadataTable:
    """Return a table in which one record holds for every picture that has no row of its own.

    Args:
        table: The table that gets the record; an empty one if left out.

    Raises:
        DataError: If the model takes no metadata, or does not know a value.
    """
    numbers = engine.encode([record])
    if numbers is None:
        raise DataError(f"{engine.bundle.path}: takes no metadata, only images.")
    words = " ".join(f"{name}={value}" for name, value in sorted(record.items()))
    if table is None:
        return MetadataTable(words, ID_COLUMN, {}, {}, numbers)
    return replace(
        table,
        fingerprint=f"{table.fingerprint} {words}",
        numbers=np.concatenate([table.numbers[:-1], numbers]),
    )


def read_metadata_table(path: Path, engine: Engine) -> MetadataTable:
    """Read a metadata table.

    Args:
        path: A table with a column of image ids, or of `path` relative to it, and columns that the model
            takes, under any name of `text_tables.COLUMNS`. An empty field, "unknown" or a site that
            covers several of the model's is unknown. Other columns are ignored. An image without a row of its
            id gets the row whose id is an end of its path.
    """
    encoding = engine.description.metadata
    if encoding is None:
        raise DataError(f"{engine.bundle.path}: takes no metadata, only images. Leave --metadata out.")
    table = read_table(path)
    key = _key_column(table, encoding)
    places: dict[str, int] = {}
    rows = [*_numbers(table, key, encoding, places), np.zeros(encoding.length, np.float32)]
    names: dict[str, list[str]] = {}
    for place in places:
        names.setdefault(image_id_of(place), []).append(place)
    columns = describe_columns(path, [key, *encoding.names])
    return MetadataTable(file_sha256(path), key, places, names, np.array(rows, np.float32), columns)


def _key_column(table: Table, encoding: Encoding) -> str:
    key = next((name for name in (ID_COLUMN, PATH_COLUMN) if name in table.names), None)
    if key is None or not set(table.names) & set(encoding.names):
        raise DataError(
            f"{table.path}: expected a column of image ids ({ID_NAMES}) or {PATH_COLUMN} and at least one of "
            f"{', '.join(encoding.names)} but found {', '.join(table.header)}."
        )
    return key


def _numbers(table: Table, key: str, encoding: Encoding, places: dict[str, int]) -> Iterator[Float32s]:
    for line, row in table.rows():
        name = row[key]
        own: dict[str, Any] = {column: row.get(column) for column in encoding.names}
        if str(own.get("localization")).lower() in WIDE_SITES:
            own["localization"] = None
        image = _resolved(table.path.parent / name) if key == PATH_COLUMN else inert_name(name)
        if image in places:
            raise DataError(f'{table.path}: row {line}: "{name}" is already in an earlier row.')
        try:
            (encoded,) = encoding.encode([own])
        except DataError as error:
            hint = 'Leave the field empty or write "unknown" if it is not known.'
            raise DataError(f"{table.path}: row {line}: {error}. {hint}") from error
        places[image] = len(places)
        yield encoded


def _resolved(path: str | Path) -> str:
    return str(Path(path).resolve())
