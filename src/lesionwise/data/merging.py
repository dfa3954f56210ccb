"""Several collections as one data folder.

Not here: groups within one collection, and pixels (`lesionwise.split.groups`, `identical`).
"""

import filecmp
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pandas as pd

from lesionwise.data.collection import collection_of
from lesionwise.data.dataset import COLUMNS, OPTIONAL_COLUMNS, ORIGINALS, Dataset, read_dataset
from lesionwise.data.known_lesions import known_lesions
from lesionwise.data.layouts import real_folder
from lesionwise.data.layouts.forms import MERGED
from lesionwise.errors import DataError
from lesionwise.files import file_sha256, write_text
from lesionwise.names import archive_id

_ARCHIVE_IMAGE: Final = re.compile(r"ISIC_\d{7}")
_ARCHIVE_LESION: Final = re.compile(r"(HAM|BCN|IL|MSK\d*)_")
_OWN_NAMES: Final = ("csv", "class folders", "imagefolder", "parquet", "isic", "kaggle", "hmnist")
"""Layouts that do not show which collection the images belong to."""


@dataclass
class Merged:
    """What a merge found.

    Attributes:
        images: Number of images of each collection that the merge holds.
        again: Number of images that an earlier collection holds under the same id.
        alike: Number of files whose content an earlier collection holds under another id.
        notes: What a user should know of each collection, such as what was left out, in sentences.
    """

    path: Path
    images: dict[str, int] = field(default_factory=dict)
    again: int = 0
    alike: int = 0
    notes: list[str] = field(default_factory=list)


def merge_folders(folders: Sequence[Path], out: Path) -> Merged:
    """Write `merged.csv`, which names the images of several data folders where they are.

    An image that two collections hold by its id of the ISIC archive counts once; its lesion is one lesion
    under both names. Files of the same content under two ids stay, as one lesion.
    """
    path = out / MERGED
    if path.exists():
        raise DataError(f"{path}: exists already. Name another folder, or remove it first.")
    if out.resolve() in {real_folder(folder).resolve() for folder in folders}:
        raise DataError(f"{out}: expected a new folder but it is one of those to merge. Name another.")
    merged, joined = Merged(path), _Joined()
    rows: dict[str, dict[str, str]] = {}
    known = known_lesions().set_index("image_id")["lesion_id"].to_dict()
    for name, dataset in _named([read_dataset(folder) for folder in folders]).items():
        kept = 0
        for row, file in zip(_rows(dataset, name), dataset.paths, strict=True):
            image_id = archive_id(row["image_id"])
            joined.join(known.get(image_id, row["lesion_id"]), row["lesion_id"])
            other = rows.get(image_id)
            if other and (
                _ARCHIVE_IMAGE.fullmatch(image_id) or filecmp.cmp(other["path"], file, shallow=False)
            ):
                _verify_same(other, row)
                joined.join(other["lesion_id"], row["lesion_id"])
                for column in ORIGINALS:
                    names = f"{other[column]};{row[column]}".split(";")
                    other[column] = ";".join(dict.fromkeys(names))
                merged.again += 1
                continue
            while image_id in rows:
                image_id = row["image_id"] = f"{name}-{image_id}"
            rows[image_id] = row
            kept += 1
        merged.images[name] = kept
        merged.notes += [f"{name}: {line}" for line in dataset.about]
    merged.alike = _join_alike(list(rows.values()), joined)
    table = pd.DataFrame(rows.values())
    table["lesion_id"] = table["lesion_id"].map(joined.first)
    wanted = [name for name in (*COLUMNS, *OPTIONAL_COLUMNS) if name in table]
    write_text(path, table[wanted].to_csv(index=False, lineterminator="\n"))
    return merged


class _Joined:
    """Which names of lesions mean the same lesion."""

    def __init__(self) -> None:
        self._same: dict[str, str] = {}

    def first(self, name: str) -> str:
        while name in self._same:
            name = self._same[name]
        return name

    def join(self, one: str, other: str) -> None:
        one, other = self.first(one), self.first(other)
        if one != other:
            self._same[other] = one


def _named(datasets: Sequence[Dataset]) -> dict[str, Dataset]:
    """Return the data sets by the name of their collection: its own where it has one, else its folder's."""
    named: dict[str, Dataset] = {}
    for dataset in datasets:
        known = collection_of(dataset.table["image_id"])
        layout = dataset.folder.resolve().name if dataset.layout in _OWN_NAMES else dataset.layout
        name = layout if known == "other" else known
        again = 2
        while name in named:
            name, again = f"{name} {again}", again + 1
        named[name] = dataset
    return named


def _rows(dataset: Dataset, name: str) -> list[dict[str, str]]:
    table = dataset.table.astype(object).where(dataset.table.notna(), "")
    rows = [{str(key): str(value) for key, value in row.items()} for row in table.to_dict("records")]
    for row, path in zip(rows, dataset.paths, strict=True):
        for original, column in zip(ORIGINALS, ("image_id", "lesion_id"), strict=True):
            row[original] = row.get(original) or row[column]
        row["path"] = str(path.absolute())
        row["collection"] = row.get("collection") or name
        if not _ARCHIVE_LESION.match(row["lesion_id"]):
            # Two collections may each have a lesion "1".
            row["lesion_id"] = f"{row['collection']} {row['lesion_id']}"
    return rows


def _verify_same(one: dict[str, str], other: dict[str, str]) -> None:
    if one["dx"] != other["dx"]:
        raise DataError(
            f"{one['image_id']} is {one['dx']} in {one['collection']} but the same image is {other['dx']} "
            f"in {other['collection']} ({other['image_id']}). Find out which one is true, and leave the "
            "image out of the other collection."
        )


def _join_alike(rows: list[dict[str, str]], joined: _Joined) -> int:
    """Join the lesions of files with the same content in two collections, and return how many there are."""
    by_size: dict[int, list[dict[str, str]]] = defaultdict(list)
    for row in rows:
        by_size[Path(row["path"]).stat().st_size].append(row)
    alike = 0
    for candidates in by_size.values():
        if len({row["collection"] for row in candidates}) > 1:
            first: dict[str, dict[str, str]] = {}
            for row in candidates:
                other = first.setdefault(file_sha256(Path(row["path"])), row)
                if other["collection"] != row["collection"]:
                    _verify_same(other, row)
                    joined.join(other["lesion_id"], row["lesion_id"])
                    alike += 1
    return alike
