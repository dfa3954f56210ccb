"""Predictions as Parquet."""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from lesionwise.errors import DataError, import_extra, reraised
from lesionwise.files import atomic_path, copy_file
from lesionwise.predict.similar import SIMILAR_COLUMNS
from lesionwise.predict.writing import number_text, settings_path

_TEXTS: Final = (
    *("image_id", "image", "path", "decision", "top", "prediction_set"),
    *("model", "model_sha256"),
    *SIMILAR_COLUMNS,
)


def write_parquet(table: Path, out: Path) -> None:
    """Write a table of predictions as Parquet: names as text, all else as numbers.

    Raises:
        MissingExtraError: If Arrow is not installed.
    """
    arrow, tables, parquet = map(import_extra, ("pyarrow", "pyarrow.csv", "pyarrow.parquet"))
    with table.open(encoding="utf-8") as file:
        columns = file.readline().rstrip("\n").split(",")
    kinds = {name: arrow.string() if name in _TEXTS else arrow.float64() for name in columns}
    options = tables.ConvertOptions(column_types=kinds)
    with (
        tables.open_csv(table, convert_options=options) as rows,
        atomic_path(out) as temporary,
        parquet.ParquetWriter(temporary, rows.schema) as writer,
    ):
        for batch in rows:
            writer.write_batch(batch)


def unpack(out: Path, table: Path) -> None:
    """Write a finished Parquet file as the CSV that it was made from, so that a resumed call can continue it.

    Args:
        out: The file, with its record beside it.
        table: The CSV, which must not exist yet.
    """
    if settings_path(out).exists():
        copy_file(settings_path(out), settings_path(table))
    with atomic_path(table) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(
            [number_text(value) if isinstance(value, float) else value for value in row] for row in _rows(out)
        )


def pack(table: Path, out: Path) -> None:
    """Turn a finished CSV and its record into a Parquet file. A killed call can be resumed from either."""
    settings_path(out).unlink(missing_ok=True)
    write_parquet(table, out)
    table.unlink()
    settings_path(table).replace(settings_path(out))


def remove(table: Path) -> None:
    """Remove a finished CSV with its record, if it is there."""
    for path in (table, settings_path(table)):
        path.unlink(missing_ok=True)


def _rows(path: Path) -> Iterator[list[str | float | None]]:
    """Yield the header and then the rows of a Parquet file of predictions."""
    parquet = import_extra("pyarrow.parquet")
    with reraised(
        DataError, f"{path}: cannot be read as Parquet: ", OSError, ValueError, after=". Name another file."
    ):
        file = parquet.ParquetFile(path)
    with file:
        yield file.schema_arrow.names
        for batch in file.iter_batches():
            yield from map(list, zip(*(column.to_pylist() for column in batch.columns), strict=True))
