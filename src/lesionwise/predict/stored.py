"""Images in object storage, and predictions as Parquet: what Arrow knows of both.

Here: `s3://`, `gs://` and whatever else Arrow opens, with the credentials that it finds by itself. Not here:
files of this machine (`sources`) and the rows of a table (`writing`).
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Final

from lesionwise.data.images import MAX_BYTES
from lesionwise.errors import DataError, ImageError, MissingExtraError
from lesionwise.files import atomic_path

if TYPE_CHECKING:
    from types import ModuleType

SCHEME: Final = "://"
PARQUET: Final = ".parquet"
_TEXTS: Final = (
    *("image_id", "image", "path", "decision", "top", "prediction_set"),
    *("model", "model_sha256"),
)


def find_stored(
    place: str, is_image: Callable[[PurePosixPath], bool]
) -> Iterator[tuple[PurePosixPath, str, Callable[[], bytes]]]:
    """Yield the images at an address in object storage, by name.

    Args:
        place: Of one object, or of a folder; all below it is looked at.

    Yields:
        The name below the folder, the address, and what returns its bytes or raises ImageError.

    Raises:
        DataError: If there is nothing, or Arrow cannot open it.
    """
    fs = _import_arrow("fs")
    scheme = place.partition(SCHEME)[0]
    with _as_data_error(place):
        system, root = fs.FileSystem.from_uri(place)
        found = system.get_file_info(root)
        if found.type == fs.FileType.NotFound:
            raise DataError(f"{place}: there is nothing.")
        alone = found.type == fs.FileType.File
        below = [found] if alone else system.get_file_info(fs.FileSelector(root, recursive=True))
    for info in sorted(below, key=lambda info: info.path):
        name = PurePosixPath(info.base_name if alone else PurePosixPath(info.path).relative_to(root))
        if alone or (info.type == fs.FileType.File and is_image(name)):
            yield name, f"{scheme}{SCHEME}{info.path}", partial(_read, system, info.path)


def _read(system: Any, path: str) -> bytes:  # noqa: ANN401 (Arrow's)
    try:
        with system.open_input_file(path) as file:
            if file.size() > MAX_BYTES:
                raise ImageError(f"has {file.size() >> 20} MiB; at most {MAX_BYTES >> 20} are read")
            return bytes(file.read())
    except (OSError, ValueError) as error:
        raise ImageError(f"cannot be read: {error}") from error


def write_parquet(table: Path, out: Path) -> None:
    """Write a table of predictions as Parquet: names as text, all else as numbers.

    Args:
        out: The file to write, whole or not at all.
    """
    arrow, csv, parquet = _import_arrow(), _import_arrow("csv"), _import_arrow("parquet")
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
    parquet, column = _import_arrow("parquet"), "model_sha256"
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


def verify_arrow() -> None:
    """Make sure that Arrow is there before the work begins."""
    _import_arrow()


def _import_arrow(part: str = "") -> "ModuleType":
    from importlib import import_module  # noqa: PLC0415 (an extra)

    try:
        return import_module(f"pyarrow.{part}" if part else "pyarrow")
    except ModuleNotFoundError as error:
        raise MissingExtraError("ray", "pyarrow") from error


@contextmanager
def _as_data_error(place: str) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as error:  # Arrow's own errors are both
        raise DataError(f"{place}: cannot be opened: {error}.") from error
