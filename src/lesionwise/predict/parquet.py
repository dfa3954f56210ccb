"""Predictions as Parquet.

Here: the finished table as one file. Not here: the rows (`writing`), and importing Arrow (`data.storage`).
"""

from pathlib import Path
from typing import Final

from lesionwise.data.storage import import_arrow
from lesionwise.errors import DataError
from lesionwise.files import atomic_path

PARQUET: Final = ".parquet"
_TEXTS: Final = (
    *("image_id", "image", "path", "decision", "top", "prediction_set"),
    *("model", "model_sha256"),
)


def write_parquet(table: Path, out: Path) -> None:
    """Write a table of predictions as Parquet: names as text, all else as numbers.

    Raises:
        MissingExtraError: If Arrow is not installed.
    """
    arrow, csv, parquet = import_arrow(), import_arrow("csv"), import_arrow("parquet")
    with table.open(encoding="utf-8") as file:
        columns = file.readline().rstrip("\n").split(",")
    kinds = {name: arrow.string() if name in _TEXTS else arrow.float64() for name in columns}
    options = csv.ConvertOptions(column_types=kinds)
    with (
        csv.open_csv(table, convert_options=options) as rows,
        atomic_path(out) as temporary,
        parquet.ParquetWriter(temporary, rows.schema) as writer,
    ):
        for batch in rows:
            writer.write_batch(batch)


def verify_made_by(out: Path, sha256: str) -> None:
    """Make sure that a finished Parquet file was predicted with this model, as far as it names one."""
    parquet, column = import_arrow("parquet"), "model_sha256"
    try:
        file = parquet.ParquetFile(out)
        named = column in file.schema_arrow.names
        models = set(file.read([column])[column].to_pylist()) if named else set()
    except (OSError, ValueError) as error:
        raise DataError(f"{out}: cannot be read as Parquet: {error}. Name another file.") from error
    if models - {sha256}:
        raise DataError(
            f"{out}: was predicted with another model. Resume with the same, or leave --resume out to start "
            "anew."
        )
