"""Finding the images that a user names: files, folders, patterns, containers, tables of paths, addresses.

Here: from what was typed to pictures, one after another, in a stable order. An address is whatever Arrow
opens, such as `s3://` and `gs://`; Arrow finds the credentials by itself. Not here: decoding pictures.
"""

import filecmp
import glob
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, Final

from lesionwise.data.containers import CONTAINERS, holds_images, is_image_name, reader_of
from lesionwise.data.images import read_content, verify_bytes
from lesionwise.errors import DataError, ImageError, import_extra, reraised
from lesionwise.files import walk_files
from lesionwise.names import IMAGE_SUFFIXES, image_id_of, inert_name, shortest_names
from lesionwise.tables import SUFFIXES, read_table

SCHEME: Final = "://"
"""What an address has and a path has not."""
PATH_COLUMN: Final = "path"
ID_COLUMN: Final = "image_id"
TABLES_OF_IMAGES: Final = (*SUFFIXES, *CONTAINERS)
"""Suffixes of files that hold or name several images."""
_UNPRINTABLE: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")  # controls; bytes that are no UTF-8


@dataclass(frozen=True, slots=True)
class Picture:
    """One image to predict.

    Attributes:
        image_id: Its name in results: that of its file, without folder and suffix, where no other picture
            of the call has it; else the shortest end of its path that no other has; else what a table gives.
        read: Returns its bytes, or raises ImageError.
        named: Whether a table gives the image_id, which must then be unique.
    """

    image_id: str
    path: str
    read: Callable[[], bytes]
    named: bool = False


class Pictures:
    r"""The images of all places in the order given, those of a folder by name.

    The places are walked once to see which names are shared, and again at each iteration, so that memory
    holds two hashes of a picture and not the picture. Control characters and bytes that are no UTF-8 are
    escaped in names (`\n`, `\udcff`): results are tables.

    Args:
        places: Files, folders, patterns with `*`, files that hold several images (`containers`), or tables
            with a column `path` and, if wanted, `image_id`; paths in a table are relative to it. Addresses
            such as `s3://bucket/folder`, too.
    """

    def __init__(self, places: Sequence[str]) -> None:
        self._places = list(places)
        self._count = 0
        met: set[int] = set()
        shared: set[int] = set()
        paths: set[int] = set()
        for picture in self._walk():
            self._count += 1
            if picture.named or hash(picture.path) not in paths:
                name = hash(picture.image_id)
                (shared if name in met else met).add(name)
                paths.add(hash(picture.path))
        alike = [picture for picture in self._walk() if hash(picture.image_id) in shared] if shared else []
        paths_alike = list(dict.fromkeys(picture.path for picture in alike if not picture.named))
        self._twins = _twins(paths_alike)
        self._names = shortest_names(
            (path for path in paths_alike if path not in self._twins),
            taken=(picture.image_id for picture in alike if picture.named),
        )

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Picture]:
        for picture in self._walk():
            path = self._twins.get(picture.path, picture.path)
            if picture.named or path not in self._names:
                yield picture
            else:
                yield replace(picture, path=path, image_id=self._names[path])

    def _walk(self) -> Iterator[Picture]:
        for place in self._places:
            found = False
            for picture in _pictures_of(place):
                found = True
                yield replace(picture, image_id=_printable(picture.image_id), path=_printable(picture.path))
            if not found:
                raise DataError(
                    f"{place}: holds no image ({', '.join(sorted(IMAGE_SUFFIXES))}).{_advice(Path(place))}"
                )


def find_pictures(places: Sequence[str]) -> Pictures:
    """Return the images of all places; see `Pictures`."""
    return Pictures(places)


def verify_places(places: Sequence[str]) -> None:
    """Make sure, before a model is opened, that every place but patterns and addresses exists."""
    for place in places:
        if SCHEME not in place and not glob.has_magic(place) and not Path(place).exists():
            raise DataError(
                f"{place}: expected a file, a folder, a pattern, a zip or a CSV, but found nothing."
            )


def _advice(place: Path) -> str:
    """Return the advice to name a file of a folder that may hold several images, if there is one."""
    packed = [path for path in walk_files(place) if path.suffix.lower() in CONTAINERS]
    return f" Name {packed[0]} instead; it may hold several images." if packed else ""


def _twins(paths: Sequence[str]) -> dict[str, str]:
    """Return the path of the first file by that of each copy of it.

    The archive of Kaggle holds its image folders twice, once in lower case. Two paths that differ in case
    alone are one image if their files have the same content.
    """
    first: dict[tuple[str, int], str] = {}
    twins = {}
    for path in paths:
        if Path(path).is_file():
            original = first.setdefault((path.lower(), Path(path).stat().st_size), path)
            if original != path and filecmp.cmp(original, path, shallow=False):
                twins[path] = original
    return twins


def _pictures_of(place: str) -> Iterator[Picture]:
    path = Path(place)
    if SCHEME in place:
        yield from _in_storage(place)
    elif path.is_dir():
        yield from _in_folder(path)
    elif path.is_file():
        if holds_images(path):
            for inside, read in CONTAINERS[path.suffix.lower()](path):
                yield Picture(image_id_of(inside), f"{path}!{inside}", read)
        else:
            yield from _in_table(path) if path.suffix.lower() in TABLES_OF_IMAGES else [_picture(path)]
    elif glob.has_magic(place):
        for match in sorted(glob.glob(place, recursive=True)):  # noqa: PTH207 (a Path cannot start with a pattern)
            yield from _pictures_of(match)
    else:
        verify_places([place])


def _in_storage(place: str) -> Iterator[Picture]:
    fs = import_extra("pyarrow.fs")
    scheme = place.partition(SCHEME)[0]
    with reraised(DataError, f"{place}: cannot be opened: ", OSError, ValueError):  # as Arrow's own are
        system, root = fs.FileSystem.from_uri(place)
        found = system.get_file_info(root)
        if found.type == fs.FileType.NotFound:
            raise DataError(f"{place}: expected a file or a folder but found nothing.")
        alone = found.type == fs.FileType.File
        below = [found] if alone else system.get_file_info(fs.FileSelector(root, recursive=True))
    for info in sorted(below, key=lambda info: info.path):
        name = PurePosixPath(info.base_name)
        if alone or (info.type == fs.FileType.File and is_image_name(name)):
            read = partial(_read_stored, system, info.path)
            yield Picture(image_id_of(name.name), f"{scheme}{SCHEME}{info.path}", read)


def _read_stored(system: Any, path: str) -> bytes:  # noqa: ANN401 (Arrow's)
    unread = reraised(ImageError, "cannot be read: ", OSError, ValueError, after="")
    with unread, system.open_input_file(path) as file:
        verify_bytes(file.size())
        return bytes(file.read())


def _in_folder(folder: Path) -> Iterator[Picture]:
    denied: list[OSError] = []
    for path in walk_files(folder, on_denied=denied.append):
        if is_image_name(path):
            yield _picture(path)
    for error in denied:
        yield Picture(Path(error.filename).name, error.filename, partial(_deny, error))


def _picture(path: Path) -> Picture:
    read = reader_of(path, partial(read_content, path.absolute()))
    return Picture(image_id_of(path.name), str(path), read)


def _deny(error: OSError) -> bytes:
    raise ImageError(f"is a folder that cannot be read: {error.strerror}") from error


def _in_table(path: Path) -> Iterator[Picture]:
    table = read_table(path)
    if PATH_COLUMN not in table.names:
        raise DataError(f"{path}: expected a column {PATH_COLUMN} but found {', '.join(table.header)}.")
    row = None
    for line, row in table.rows():
        name, image_id = row[PATH_COLUMN], row.get(ID_COLUMN, "")
        if not name:
            raise DataError(f"{path}: row {line} has no {PATH_COLUMN}.")
        image = path.parent / name
        read = partial(read_content, image.absolute())
        yield Picture(image_id or image_id_of(name), str(image), read, named=bool(image_id))
    if row is None:
        raise DataError(f"{path}: has no rows; expected one for each image.")


def _printable(name: str) -> str:
    return inert_name(_UNPRINTABLE.sub(lambda found: found[0].encode("unicode_escape").decode(), name))
