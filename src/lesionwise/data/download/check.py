"""Whether a folder holds the whole of HAM10000, unharmed, and how far that can be known.

Here: judging a folder against the official set. Not here: what is odd about sound data (`audit`).

Official checksums exist for the archives and the metadata, not for single images. Images can therefore be
compared with them only where `data download` unpacked them from a verified archive and noted what came out.
Of other copies three things are known: their ids, whether they decode, and whether they were re-encoded.
"""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import pandas as pd
from PIL import Image

from lesionwise.data.download.sources import METADATA_SHA256, TEST_OFTEN_MISSING, Catalogue, RemoteFile, Set
from lesionwise.data.images import read_image
from lesionwise.data.layouts.ham10000 import metadata_file
from lesionwise.data.layouts.listing import find_images, read_table
from lesionwise.errors import DataError, ImageError, RunError
from lesionwise.execution import usable_cores
from lesionwise.files import file_sha256, read_json
from lesionwise.wording import counted, shortened

RECEIPT: Final = "lesionwise-download.json"
TEST_TRUTH: Final = "ISIC2018_Task3_Test_GroundTruth.csv"
_PROBE: Final = (56, 75)  # pixels: decoding to this still reads every byte
_SHOWN: Final = 8
_SOUND: Final = {
    "original": ("has", "have", "the bytes of the verified archive."),
    "reencoded": ("was", "were", ("compressed again with loss (the originals are JPEG files of quality 100). "
                  "The files are readable, but official checksums cannot confirm them.")),
    "sound": ("is", "are", ("readable and may be original. The official checksums are those of the archives, "
              "so they cannot confirm single files.")),
}  # fmt: skip
"""What an unharmed image may be, and what a note says of one or several such images."""


@dataclass(frozen=True)
class FolderCheck:
    """What is known of a folder.

    Attributes:
        extra: Files that do not belong to the set.
        originals: Images with the very bytes of a verified archive.
        reencoded: Images that were saved again with loss.
        faults: What else is wrong, such as a table that disagrees.
        notes: What else is known, such as that checksums cannot be compared.
    """

    expected: int = 0
    found: int = 0
    missing: tuple[str, ...] = ()
    extra: tuple[str, ...] = ()
    damaged: dict[str, str] = field(default_factory=dict)
    originals: int = 0
    reencoded: int = 0
    faults: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether every image is there and unharmed, and the table agrees; further files do not matter."""
        return not (self.missing or self.damaged or self.faults)

    @property
    def summary(self) -> str:
        """What is wrong, in one clause each."""
        parts = [
            f"{len(ids)} {name} ({shortened(ids, _SHOWN)})"
            for name, ids in (("missing", self.missing), ("damaged", tuple(self.damaged)))
            if ids
        ]
        return "; ".join([*parts, *self.faults])

    def to_json(self) -> dict[str, Any]:
        """Return plain dictionaries and lists."""
        return {"complete": self.complete, **vars(self)}


def check_folder(folder: Path, wanted: Set = Set.train, catalogue: Catalogue | None = None) -> FolderCheck:
    """Compare a folder in the layout of Kaggle, or one with the archive of masks, with the official set."""
    catalogue = catalogue or Catalogue()
    if wanted is Set.masks:
        return _check_masks(folder, catalogue)
    images = find_images([folder]) if folder.is_dir() else {}
    expected, faults, notes = _expected_ids(folder, wanted, catalogue)
    ours = {image: images[image] for image in sorted(set(images) & set(expected))}
    states = _inspect(ours, folder, _receipt(folder))
    counts = Counter(states.values())
    damaged = {image: state for image, state in states.items() if state not in _SOUND}
    missing = sorted(set(expected) - set(images))
    if wanted is Set.test and missing == [TEST_OFTEN_MISSING]:
        missing, notes = [], [*notes, f"{TEST_OFTEN_MISSING} is missing, as in many copies of this set."]
    return FolderCheck(
        expected=len(expected),
        found=len(images),
        missing=tuple(missing),
        extra=tuple(sorted(set(images) - set(expected))),
        damaged=damaged,
        originals=counts["original"],
        reencoded=counts["reencoded"],
        faults=tuple(faults),
        notes=(*notes, *_archive_notes(folder, wanted, catalogue), *_image_notes(counts)),
    )


def _expected_ids(folder: Path, wanted: Set, catalogue: Catalogue) -> tuple[list[str], list[str], list[str]]:
    """Return the ids of the set, what is wrong with the table, and what is known of it."""
    if wanted is Set.train:
        lesions = catalogue.lesions()
        faults, notes = _check_metadata(metadata_file(folder), lesions)
        return lesions["image_id"].tolist(), faults, notes
    truth = folder / TEST_TRUTH
    if not truth.is_file():
        return [], [f"{TEST_TRUTH} is missing"], []
    table = read_table(truth)
    ids = table["image_id"].dropna().tolist() if "image_id" in table else []
    named = len(set(ids))
    right = named in (catalogue.test_images, catalogue.test_images - 1)
    return ids, [] if right else [f"{TEST_TRUTH} names {counted(named, 'image')}"], []


def _check_metadata(path: Path | None, lesions: pd.DataFrame) -> tuple[list[str], list[str]]:
    if path is None:
        return ["HAM10000_metadata.csv is missing"], []
    try:
        table = read_table(path)
    except DataError as error:
        return [str(error)], []
    columns = ["image_id", "lesion_id", "dx"]
    if not set(columns) <= set(table.columns):
        return [f"{path.name} lacks one of the columns {', '.join(columns)}"], []
    ours = table[columns].sort_values("image_id").reset_index(drop=True)
    if not ours.equals(lesions[columns].astype(ours.dtypes.to_dict())):
        return [f"{path.name} differs from the official ids, lesions or diagnoses"], []
    if file_sha256(path) == METADATA_SHA256:
        return [], [f"{path.name} has the official checksum."]
    kaggle = "Dataverse's file (Kaggle's has one column fewer)"
    return [], [f"{path.name} differs from {kaggle} but agrees on every lesion."]


def _receipt(folder: Path) -> dict[str, list[Any]]:
    try:
        files = read_json(folder / RECEIPT)["files"]
    except (RunError, KeyError, TypeError):
        return {}
    return files if isinstance(files, dict) else {}


def _inspect(images: dict[str, Path], folder: Path, receipt: dict[str, list[Any]]) -> dict[str, str]:
    """Return for each image what it is, or why it cannot be read."""

    def look(path: Path) -> str:
        noted = receipt.get(path.relative_to(folder).as_posix())
        try:
            content = path.read_bytes()
            if noted:
                same = sha256(content).hexdigest() == noted[0]
                return "original" if same else "differs from the file in the archive"
            read_image(content, _PROBE)
            with Image.open(path) as image:
                return "reencoded" if _is_reencoded(image) else "sound"
        except (OSError, ImageError) as error:
            return str(error)

    with ThreadPoolExecutor(usable_cores()) as pool:
        return dict(zip(images, pool.map(look, images.values()), strict=True))


def _is_reencoded(image: Image.Image) -> bool:
    """Whether a JPEG was quantised: the originals have quality 100, all of whose divisors are 1."""
    tables: dict[int, list[int]] = getattr(image, "quantization", {})
    return any(value != 1 for table in tables.values() for value in table)


def _image_notes(counts: Counter[str]) -> list[str]:
    return [
        f"{counted(counts[name], f'image {one}', f'images {several}')} {what}"
        for name, (one, several, what) in _SOUND.items()
        if counts[name]
    ]


def _archive_notes(folder: Path, wanted: Set, catalogue: Catalogue) -> list[str]:
    there = {file: folder / file.name for file in _files_of(wanted, catalogue)}
    return [
        f"{file.name} {'DOES NOT HAVE' if file.fault_of(path) else 'has'} the official checksum."
        for file, path in there.items()
        if file.is_zip and file.md5 and path.is_file()
    ]


def _files_of(wanted: Set, catalogue: Catalogue) -> list[RemoteFile]:
    return [file for (_, role), files in catalogue.files.items() if role is wanted for file in files]


def _check_masks(folder: Path, catalogue: Catalogue) -> FolderCheck:
    faults, notes = [], []
    for file in _files_of(Set.masks, catalogue):
        path = folder / file.name
        if fault := file.fault_of(path) if path.is_file() else "is not there":
            faults.append(f"{file.name} {fault}")
        else:
            notes.append(f"{file.name} has the official checksum.")
    return FolderCheck(faults=tuple(faults), notes=tuple(notes))
