"""Images packed into one file with their table: DermaMNIST's `.npz`, and Parquet as model hubs hand it out.

Here: reading such a file as a data folder, and writing each image as a file into the cache, once. Not here:
`hmnist_*.csv` (`ham10000`), and reading what is packed (`lesionwise.tables`).

References:
    The leak of DermaMNIST, and its ids: Abhishek et al. (2025), https://doi.org/10.1038/s41597-025-04382-5
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from lesionwise.data.containers import HDF5_SUFFIXES
from lesionwise.data.known_lesions import verify_listed
from lesionwise.data.layouts.forms import LESIONS_ADVICE, TWO_CLASSES, Form, listing_of
from lesionwise.data.layouts.listing import Listing, pooled, read_table
from lesionwise.errors import DataError, ImageError, reraised
from lesionwise.execution import default_cache_root
from lesionwise.files import file_sha256, write_bytes
from lesionwise.tables import DERMAMNIST_IDS, PARQUET, DermaMnist, Parquet, ReadImage, verify_once

_LEAK: Final = (
    "DermaMNIST's own split leaks: 698 of its 2,005 test images show a lesion that is in training. "
    "lesionwise does not use it; it keeps the photographs of one lesion together."
)
_NO_IDS: Final = (
    "DermaMNIST has no ids, and its order is random, so photographs of one lesion cannot be kept together. "
    f"You can look at it, but not train on it. To train, put {DERMAMNIST_IDS} (split,index,image_id), which "
    "Abhishek et al. publish in kakumarabhishek/Corrected-Skin-Image-Datasets, beside it."
)


def read_dermamnist(folder: Path) -> Listing | None:
    """Read `dermamnist*.npz` of any size; with the list of its ids beside it, its images are HAM10000's."""
    found = sorted(folder.glob("dermamnist*.npz"), key=lambda path: path.stat().st_size)
    if not found:
        return None
    path = found[-1]  # most pixels
    table = read_table(path)
    if (folder / DERMAMNIST_IDS).is_file():
        verify_listed(table["image_id"].fillna(""), table["dx"], folder / DERMAMNIST_IDS)
    images = write_images(path, table["image_id"].tolist(), DermaMnist(path).images())
    return listing_of(Form("DermaMNIST", (), note=_LEAK), path, table, images, _NO_IDS)


def read_parquet(folder: Path) -> Listing | None:
    """Read Parquet files of a model hub: `image` with its bytes, `dx` or `label`, and what else they hold."""
    found = sorted([*folder.glob(f"*{PARQUET}"), *folder.glob(f"data/*{PARQUET}")])
    packed = {path: Parquet(path) for path in found}
    files = [path for path in found if packed[path].has_images]
    if not files:
        return None
    tables = {path: read_table(path) for path in files}
    images: dict[str, Path] = {}
    for path, table in tables.items():
        images |= write_images(path, table["image_id"].tolist(), packed[path].images())
    joined = pooled(tables, folder)
    verify_once(joined["image_id"].dropna(), folder)
    return listing_of(Form("parquet", ()), files[0], joined, images, LESIONS_ADVICE, several=files)


def refuse_hdf5(folder: Path) -> None:
    """Refuse a folder that holds the images of ISIC 2024 but no table."""
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in HDF5_SUFFIXES:
            raise DataError(
                f"{path}: HDF5 holds images without their diagnoses. If this is ISIC 2024, {TWO_CLASSES}"
            )


def write_images(path: Path, image_ids: list[str | None], images: Iterable[ReadImage]) -> dict[str, Path]:
    """Write each image into the cache, unless it is there, and return their paths by id.

    A file is named by its row: an id may hold folders, and must not choose where a file is written.
    """
    folder = default_cache_root() / f"{path.stem}-{file_sha256(path)[:16]}"
    files = [folder / f"{row:06d}.png" for row in range(len(image_ids))]
    if not all(file.exists() for file in files):
        for row, (target, read) in enumerate(zip(files, images, strict=True), 1):
            if not target.exists():
                with reraised(DataError, f"{path}: image {row} ", ImageError):
                    content = read()
                write_bytes(target, content)
    return {name: file for name, file in zip(image_ids, files, strict=True) if isinstance(name, str)}
