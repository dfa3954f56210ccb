"""Images packed into one file: DermaMNIST's `.npz`, and parquet as model hubs hand it out.

Here: reading what is packed, and writing each image as a file into the cache, once. Not here: `hmnist_*.csv`
(`ham10000`).

References:
    DermaMNIST: Yang et al. (2023), https://doi.org/10.1038/s41597-022-01721-8
    Its leak, and the list of its ids: Abhishek et al. (2025), https://doi.org/10.1038/s41597-025-04382-5
"""

import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from hashlib import file_digest
from io import BytesIO
from pathlib import Path
from typing import Any, Final
from zipfile import BadZipFile

import numpy as np
import pandas as pd
from PIL import Image

from lesionwise.data.known_lesions import known_lesions
from lesionwise.data.layouts.forms import LESIONS_ADVICE, Form, listing_of
from lesionwise.data.layouts.listing import PLACE, Listing, read_table
from lesionwise.data.storage import import_arrow
from lesionwise.data.workspace import default_cache_root
from lesionwise.diagnoses import DIAGNOSIS_COLUMNS
from lesionwise.errors import DataError
from lesionwise.files import atomic_path
from lesionwise.labels import CODES
from lesionwise.names import image_id_of
from lesionwise.tables import COLUMNS, describe_header, names_of, verify_header
from lesionwise.wording import counted

SPLIT_INFO: Final = "dermamnist_split_info.csv"
_PARTS: Final = ("train", "val", "test")
_LEAK: Final = (
    "DermaMNIST's own split leaks: 698 of its 2,005 test images show a lesion that is in training. It is not "
    "used; photographs of one lesion stay together here."
)
_NO_IDS: Final = (
    "DermaMNIST has no ids, and its order is a random one, so photographs of one lesion cannot be kept "
    f"together: it can be looked at, not trained on. Put {SPLIT_INFO} (split,index,image_id), which Abhishek "
    "et al. publish in kakumarabhishek/Corrected-Skin-Image-Datasets, beside it."
)


def read_dermamnist(folder: Path) -> Listing | None:
    """Read `dermamnist*.npz` of any size; with the list of its ids beside it, its images are HAM10000's."""
    found = sorted(folder.glob("dermamnist*.npz"), key=lambda path: path.stat().st_size)
    if not found:
        return None
    path = found[-1]  # most pixels
    try:
        with np.load(path) as packed:
            pixels = np.concatenate([packed[f"{part}_images"] for part in _PARTS])
            labels = [packed[f"{part}_labels"].ravel() for part in _PARTS]
    except (OSError, TypeError, ValueError, KeyError, BadZipFile) as error:
        raise DataError(f"{path}: expected train_images, train_labels and so on but {error}.") from error
    numbers = np.concatenate(labels)
    wrong = numbers[~np.isin(numbers, range(len(CODES)))]
    if len(wrong) or len(numbers) != len(pixels):
        reason = (
            f"label {wrong[0]}"
            if len(wrong)
            else f"{counted(len(numbers), 'label')} of {counted(len(pixels), 'image')}"
        )
        raise DataError(
            f"{path}: expected one label from 0 to {len(CODES) - 1} for each image but found {reason}."
        )
    ids = [f"{part}_{row:05d}" for part, own in zip(_PARTS, labels, strict=True) for row in range(len(own))]
    table = pd.DataFrame({"image_id": ids, "dx": np.asarray(CODES)[numbers]})
    info = folder / SPLIT_INFO
    if info.is_file():
        table["image_id"] = _named(read_table(info), table, info)
    images = write_images(path, table["image_id"].tolist(), lambda row: png(pixels[row]))
    table.index = pd.RangeIndex(2, len(table) + 2)
    return listing_of(Form("DermaMNIST", (), note=_LEAK), path, table, images, {"lesion_id": _NO_IDS})


def read_parquet(folder: Path) -> Listing | None:
    """Read parquet files of a model hub: `image` with its bytes, `dx` or `label`, and what else they hold."""
    files = sorted([*folder.glob("*.parquet"), *folder.glob("data/*.parquet")])
    if not files:
        return None
    parquet = import_arrow("parquet")
    tables: list[pd.DataFrame] = []
    images: dict[str, Path] = {}
    for path in files:
        try:
            packed = parquet.read_table(path)
        except (OSError, ValueError) as error:  # Arrow's own errors are both
            raise DataError(f"{path}: cannot be read as parquet: {error}. Get the file again.") from error
        if "image" not in packed.column_names:
            raise DataError(f"{path}: expected a column image but found {', '.join(packed.column_names)}.")
        table = _facts(packed, path)
        if len(files) > 1:
            table[PLACE] = [f"{path.relative_to(folder).as_posix()}:{row + 2}" for row in range(len(table))]
        tables.append(table)
        content = partial(_content, packed.column("image"), path)
        images |= write_images(path, table["image_id"].tolist(), content)
    joined = pd.concat(tables, ignore_index=True)
    named = joined["image_id"].dropna()
    if named.duplicated().any():
        twice = named[named.duplicated()].iloc[0]
        raise DataError(f"{folder}: expected each image once but {twice} stands in more than one row.")
    joined.index = pd.RangeIndex(2, len(joined) + 2)
    listing = listing_of(Form("parquet", ()), files[0], joined, images, {"lesion_id": LESIONS_ADVICE})
    used = {*COLUMNS, *DIAGNOSIS_COLUMNS, "image", "label"}
    return replace(listing, columns=describe_header(files[0].name, packed.column_names, used))


def _named(info: pd.DataFrame, table: pd.DataFrame, path: Path) -> list[str]:
    """Return the ids of all images in the order of the `.npz`, held against its labels."""
    if not {"split", "index", "image_id"} <= set(info) or len(info) != len(table):
        raise DataError(f"{path}: expected split, index and image_id of {counted(len(table), 'image')}.")
    place = {
        f"{part}_{int(row):05d}": name for part, row, name in info[["split", "index", "image_id"]].to_numpy()
    }
    ids = [place.get(name, "") for name in table["image_id"]]
    dx = known_lesions().set_index("image_id")["dx"].reindex(ids).to_numpy()
    wrong = np.flatnonzero(dx != table["dx"].to_numpy())
    if len(wrong):
        raise DataError(
            f"{path}: calls {table['image_id'].iloc[wrong[0]]} {ids[wrong[0]] or 'nothing'}, which is "
            f"{dx[wrong[0]]} and not {table['dx'].iloc[wrong[0]]}; "
            f"{counted(len(wrong), 'image differs', 'images differ')}. Take the list of this file."
        )
    return ids


def _facts(packed: Any, path: Path) -> pd.DataFrame:  # noqa: ANN401 (a pyarrow Table, an extra)
    """Return every column but the images, as text; numbered labels by the names that the file gives them."""
    verify_header(path, packed.column_names)
    rest = packed.drop_columns(["image"]).to_pandas()
    rest = rest.rename(columns={theirs: ours for ours, theirs in names_of(rest.columns).items()})
    if "dx" not in rest and "label" in rest:
        names = _class_names(packed.schema.metadata or {}).get("label")
        labels = packed.column("label").to_pylist()
        rest["dx"] = [_class_of(label, names) for label in labels] if names else labels
        rest = rest.drop(columns="label")
    if "image_id" in rest:
        rest["image_id"] = rest["image_id"].astype("string").map(image_id_of, na_action="ignore")
    else:
        paths = [_path_of(image) for image in packed.column("image")]
        rest["image_id"] = [image_id_of(name or f"{path.stem}_{row:05d}") for row, name in enumerate(paths)]
    text = rest.astype("string").astype(object).where(rest.notna(), None)
    if "dx" not in text:
        raise DataError(
            f"{path}: expected a column dx or label but found {', '.join(map(str, rest.columns))}."
        )
    return pd.DataFrame(text)


def _class_of(label: object, names: list[str]) -> str:
    """Return the name of a numbered label; "" of a number that has none, such as -1 for "unlabelled"."""
    if isinstance(label, int):
        return names[label] if 0 <= label < len(names) else ""
    return "" if label is None else str(label)


def _path_of(image: Any) -> str | None:  # noqa: ANN401 (a value of a pyarrow Table)
    """Return the file that an image comes from, where its cell names one beside the bytes."""
    return image.get("path") and image["path"].as_py() if hasattr(image, "get") else None


def _content(column: Any, path: Path, row: int) -> bytes:  # noqa: ANN401 (the same)
    """Return the file of an image: its cell is the bytes, or holds them beside a path."""
    cell = column[row].as_py()
    content = cell.get("bytes") if isinstance(cell, dict) else cell
    if not isinstance(content, bytes):
        raise DataError(
            f"{path}: expected the bytes of an image in each row but found none for image {row + 1}. Export "
            "the images with their bytes embedded, not with paths alone."
        )
    return content


def _class_names(metadata: dict[bytes, bytes]) -> dict[str, list[str]]:
    """Return the names of numbered labels by column, as the library `datasets` writes them."""
    features = json.loads(metadata.get(b"huggingface", b"{}")).get("info", {}).get("features", {})
    return {name: feature["names"] for name, feature in features.items() if "names" in feature}


def write_images(path: Path, image_ids: list[str | None], content: Callable[[int], bytes]) -> dict[str, Path]:
    """Write each image into the cache, unless it is there, and return their paths by id.

    A file is named by its row: an id may hold folders, and must not choose where a file is written.
    """
    with path.open("rb") as file:
        digest = file_digest(file, "sha256").hexdigest()[:16]
    folder = default_cache_root() / f"{path.stem}-{digest}"
    files = [folder / f"{row:06d}.png" for row in range(len(image_ids))]
    for row, target in enumerate(files):
        if not target.exists():
            with atomic_path(target) as temporary:
                temporary.write_bytes(content(row))
    return {name: file for name, file in zip(image_ids, files, strict=True) if name is not None}


def png(pixels: np.ndarray) -> bytes:
    """Return pixels as a PNG file."""
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    return buffer.getvalue()
