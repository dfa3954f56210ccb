"""The ISIC challenges of 2018 (Task 3: HAM10000 and its test set), 2019 and MILK10k: truth, metadata, images.

Not here: what its diagnoses are called (`lesionwise.diagnoses`).

A part is named by the start of its file names: `ISIC2018_Task3_Training` of
`ISIC2018_Task3_Training_GroundTruth.csv`, `…_Input/`, `…_Metadata.csv` and `…_LesionGroupings.csv`.
"""

from collections.abc import Iterable
from glob import escape
from pathlib import Path
from typing import Final

import pandas as pd

from lesionwise.data.layouts.forms import Form, listing_of, verify_seven
from lesionwise.data.layouts.listing import Listing, find_images, one_of, read_table
from lesionwise.errors import DataError
from lesionwise.files import walk_files
from lesionwise.tables import SUFFIXES
from lesionwise.wording import listed

_TRUTH: Final = "_GroundTruth"
_IMAGES: Final = ("_Input", "_Images", "_Data", "_JPEG")
_CONTAINS_HAM10000: Final = (
    "ISIC 2019 contains HAM10000 (images ISIC_0024306 to ISIC_0034320): a model trained on HAM10000 has "
    "seen them. Leave them out before you score such a model on ISIC 2019."
)
_ADVICE: Final = (
    "Put ISIC2018_Task3_Training_LesionGroupings.csv (2018) or "
    "ISIC_2019_Training_Metadata.csv (2019) into the folder: without it photographs "
    "of one lesion cannot be kept together. For a collection "
    'without such a file, see "lesionwise data lesions --help".'
)


def challenge_parts(files: Iterable[Path]) -> dict[str, list[Path]]:
    """Return the tables of true diagnoses among some files, by their part of a challenge."""
    parts: dict[str, list[Path]] = {}
    for path in files:
        name, truth, _ = path.name.partition(_TRUTH)
        if truth and path.suffix.lower() in SUFFIXES:
            parts.setdefault(name, []).append(path)
    return parts


def is_part(path: Path) -> bool:
    """Return whether a path stands for one part of a challenge.

    Its table lies beside the path, or in a folder there that is named like the table. No other folder is
    looked into: where data is gone, the rest may be a whole disk.
    """
    return any(
        path.name in challenge_parts(walk_files(place) if place.is_dir() else [place])
        for place in path.parent.glob(f"{escape(path.name)}{_TRUTH}*")
    )


def part_folder(folder: Path, part: str) -> Path:
    """Return the path that stands for a part below a folder, by its name or a piece of it, in any case."""
    parts = challenge_parts(walk_files(folder))
    fitting = [part] if part in parts else [name for name in parts if part.lower() in name.lower()]
    if len(fitting) != 1:
        raise DataError(
            f"{folder}: expected --part to name one of its parts ({listed(sorted(parts)) or 'none'}) but got "
            f"{part}."
        )
    name = fitting[0]
    place = parts[name][0].parent
    while place != folder and place.name.startswith(f"{name}{_TRUTH}"):  # a folder named like its table
        place = place.parent
    return place / name


def read_isic(folder: Path) -> Listing | None:
    """Read a part of an ISIC challenge: its true diagnoses, metadata and images.

    The truth is one-hot, one column for each diagnosis; or, for the ISIC 2018 test set as Dataverse gives it,
    has the columns of HAM10000. That of MILK10k is by lesion, and its metadata name the images.

    Args:
        folder: Holds one part; or the path of a part, see `part_folder`.
    """
    part = folder.name if not folder.is_dir() else ""
    root = folder.parent if part else folder
    files = list(walk_files(root))
    parts = challenge_parts(files)
    if not parts or (part and part not in parts):
        return None
    if not part and len(parts) > 1:
        first = min(parts)
        raise DataError(
            f"{folder}: expected one part of a challenge but found {listed(sorted(parts))}. Choose one with "
            f"--part {first}, or name it as {folder / first}."
        )
    part = part or next(iter(parts))
    truth = one_of(parts[part], root, f"{part}{_TRUTH}")
    if truth is None:
        return None
    verify_seven(truth)
    table = read_table(truth)
    metadata = _beside(files, root, part, "_Metadata")
    if "image_id" not in table and "lesion_id" in table:
        if metadata is None:
            raise DataError(
                f"{truth}: names lesions but no images. Put {part}_Metadata.csv beside it, which names both."
            )
        table = _with_columns(metadata, table, "lesion_id")
    else:
        for facts in (metadata, _beside(files, root, part, "_LesionGroupings")):
            table = table if facts is None else _with_columns(table, facts, "image_id")
    form = Form("isic", (), note=_CONTAINS_HAM10000 if part == "ISIC_2019_Training" else "")
    return listing_of(form, truth, table, _images(files, root, part, alone=len(parts) == 1), _ADVICE)


def _images(files: Iterable[Path], root: Path, part: str, *, alone: bool) -> dict[str, Path]:
    """Return the images in the folders of a part; those of the whole folder if it is the only part."""
    names = {f"{part}{end}".lower() for end in _IMAGES}
    above = {place for folder in {path.parent for path in files} for place in (folder, *folder.parents)}
    own = {place for place in above if place.name.lower() in names}
    outermost = sorted(place for place in own if not own & set(place.parents))
    if not outermost and not alone:
        raise DataError(f"{root}: expected the images of {part} in {part}_Input but found no such folder.")
    return find_images(outermost or [root])


def _beside(files: Iterable[Path], root: Path, part: str, end: str) -> pd.DataFrame | None:
    """Return the table of a part whose name ends so; else the only such table that no other part has."""
    ends = [path for path in files if path.suffix.lower() in SUFFIXES and path.stem.endswith(end)]
    own = [path for path in ends if path.stem == f"{part}{end}"]
    others = challenge_parts(files)
    rest = [path for path in ends if path.stem.removesuffix(end) not in others]
    path = one_of(own or rest, root, f"*{end}.csv")
    if path is None:
        return None
    table = read_table(path)
    if "image_id" not in table or table["image_id"].duplicated().any():
        raise DataError(f"{path}: expected a column image with each image once.")
    return table


def _with_columns(table: pd.DataFrame, facts: pd.DataFrame, key: str) -> pd.DataFrame:
    """Return a table with the columns of another that it lacks, joined by a key that is unique there."""
    own = facts.set_index(key)
    further = own.columns.difference(table.columns)
    return table.assign(**{name: table[key].map(own[name]) for name in further})
