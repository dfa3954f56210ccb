"""Images in object storage: `s3://`, `gs://` and whatever else Arrow opens.

Arrow finds the credentials by itself. Not here: files of this machine (`pictures`).
"""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import PurePosixPath
from typing import Any, Final

from lesionwise.data.images import verify_bytes
from lesionwise.errors import DataError, ImageError
from lesionwise.packed import import_arrow

SCHEME: Final = "://"


def find_stored(
    place: str, is_image: Callable[[PurePosixPath], bool]
) -> Iterator[tuple[PurePosixPath, str, Callable[[], bytes]]]:
    """Yield name, address and reader of all images at or below an address in object storage, by name."""
    fs = import_arrow("fs")
    scheme = place.partition(SCHEME)[0]
    try:
        system, root = fs.FileSystem.from_uri(place)
        found = system.get_file_info(root)
        if found.type == fs.FileType.NotFound:
            raise DataError(f"{place}: expected a file or a folder but found nothing.")
        alone = found.type == fs.FileType.File
        below = [found] if alone else system.get_file_info(fs.FileSelector(root, recursive=True))
    except (OSError, ValueError) as error:  # Arrow's own errors are both
        raise DataError(f"{place}: cannot be opened: {error}.") from error
    for info in sorted(below, key=lambda info: info.path):
        name = PurePosixPath(info.base_name if alone else PurePosixPath(info.path).relative_to(root))
        if alone or (info.type == fs.FileType.File and is_image(name)):
            yield name, f"{scheme}{SCHEME}{info.path}", partial(_read, system, info.path)


def _read(system: Any, path: str) -> bytes:  # noqa: ANN401 (Arrow's)
    try:
        with system.open_input_file(path) as file:
            verify_bytes(file.size())
            return bytes(file.read())
    except (OSError, ValueError) as error:
        raise ImageError(f"cannot be read: {error}") from error
