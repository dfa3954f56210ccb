"""Files that hold several images: zips, Parquet, HDF5 as of ISIC 2024, and DermaMNIST's `.npz`.

Here: the images of one such file by name, each read when it is wanted. Not here: folders, and tables that
name images (`pictures`).
"""

import lzma
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path, PurePath, PurePosixPath
from typing import Any, Final

import numpy as np

from lesionwise.data.images import verify_bytes
from lesionwise.errors import DataError, ImageError, import_extra, reraised
from lesionwise.names import IMAGE_SUFFIXES, UNREAD_SUFFIXES
from lesionwise.tables import DERMAMNIST_IDS, PACKED_SUFFIXES, PARQUET, ReadImage, read_packed

HDF5_SUFFIXES: Final = (".hdf5", ".h5")
_BAD_ZIP: Final = (zipfile.BadZipFile, NotImplementedError, ValueError)  # a name that is no UTF-8, too
_BAD_MEMBER: Final = (  # what unpacking damage raises
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, NotImplementedError, RuntimeError),
    *(OSError, EOFError, ValueError),
)


def is_image_name(name: PurePath) -> bool:
    """Return whether a file has the name of a picture."""
    return name.suffix.lower() in IMAGE_SUFFIXES | UNREAD_SUFFIXES and not name.name.startswith(".")


def reader_of(name: PurePath, read: ReadImage) -> ReadImage:
    """Return the function that reads a picture, or one that raises if its kind is not read."""
    suffix = name.suffix.lower()
    return partial(_refuse, suffix) if suffix in UNREAD_SUFFIXES else read


def _refuse(suffix: str) -> bytes:
    raise ImageError(f"is a {suffix} file, which lesionwise does not read. Convert it to PNG or JPEG")


def holds_images(path: Path) -> bool:
    """Return whether a file is one that holds several images; a Parquet file may also be a table alone."""
    suffix = path.suffix.lower()
    return suffix in CONTAINERS and (suffix != PARQUET or read_packed(path).has_images)


def _in_zip(path: Path) -> Iterator[tuple[str, ReadImage]]:
    with reraised(DataError, f"{path}: is not a readable zip: ", *_BAD_ZIP):
        archive = zipfile.ZipFile(path)  # closed with the last picture that reads from it
    for member in archive.infolist():
        name = PurePosixPath(member.filename)
        if not member.is_dir() and is_image_name(name) and "__MACOSX" not in name.parts:
            yield member.filename, reader_of(name, partial(_read_member, archive, member))


def _read_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    verify_bytes(member.file_size)
    with reraised(ImageError, "cannot be unpacked: ", *_BAD_MEMBER, after=""):
        return archive.read(member)


def _in_packed(path: Path) -> Iterator[tuple[str, ReadImage]]:
    table = read_packed(path)
    if table.names.get("image_id") is None:
        raise DataError(f"{path}: expected images but found the columns {', '.join(table.header)}.")
    if path.with_name(DERMAMNIST_IDS).is_file() and path.suffix.lower() != PARQUET:
        from lesionwise.data.known_lesions import verify_listed  # noqa: PLC0415 (pandas)

        frame = table.frame()
        verify_listed(frame["image_id"], frame["dx"], path.with_name(DERMAMNIST_IDS))
    names = [row["image_id"] or f"row {line}" for line, row in table.rows()]
    [(name, times)] = Counter(names).most_common(1) or [("", 0)]
    if times > 1:
        raise DataError(
            f"{path}: expected each image once but {name} is in {times} rows. Add a column image_id with "
            "one name for each row."
        )
    yield from zip(names, table.images(), strict=True)


def _in_hdf5(path: Path) -> Iterator[tuple[str, ReadImage]]:
    h5py = import_extra("h5py")
    with reraised(DataError, f"{path}: cannot be read as HDF5: ", OSError, after=". Get the file again."):
        file = h5py.File(path, "r")  # closed with the last picture that reads from it
    for name in file:
        yield name, partial(_read_dataset, file, name)


def _read_dataset(file: Any, name: str) -> bytes:  # noqa: ANN401 (of h5py, an extra)
    """Return the bytes of an image file, which ISIC 2024 keeps as one scalar for each image."""
    with reraised(ImageError, "cannot be read from its file: ", OSError, KeyError, after=""):  # h5py's
        found = file[name]
        if not hasattr(found, "dtype") or found.ndim > 1 or (found.ndim and found.dtype != np.uint8):
            raise ImageError("expected the bytes of an image file, as in train-image.hdf5 of ISIC 2024")
        verify_bytes(found.nbytes)
        value = found[()]
    return value if isinstance(value, bytes) else np.asarray(value).tobytes()


CONTAINERS: Final[dict[str, Callable[[Path], Iterator[tuple[str, ReadImage]]]]] = {
    ".zip": _in_zip,
    **dict.fromkeys(PACKED_SUFFIXES, _in_packed),
    **dict.fromkeys(HDF5_SUFFIXES, _in_hdf5),
}
"""What yields the name and a reader of each image of a file, by the end of the name of the file."""
