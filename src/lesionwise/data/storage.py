"""Images in object storage: `s3://`, `gs://` and whatever else Arrow opens.

Arrow finds the credentials by itself. Not here: files of this machine (`pictures`).
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import PurePosixPath
from typing import Any, Final

from lesionwise.data.images import MAX_BYTES
from lesionwise.errors import DataError, ImageError
from lesionwise.packed import import_arrow

SCHEME: Final = "://"


def find_stored(
    place: str, is_image: Callable[[PurePosixPath], bool]
) -> Iterator[tuple[PurePosixPath, str, Callable[[], bytes]]]:
    """Yield all images at or below an address in object storage, by name.

    Yields:
        The name below the folder, the address, and what returns its bytes or raises ImageError.
    """
    fs = import_arrow("fs")
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


@contextmanager
def _as_data_error(place: str) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as error:  # Arrow's own errors are both
        raise DataError(f"{place}: cannot be opened: {error}.") from error
