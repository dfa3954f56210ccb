"""A whole set, from whichever source hands it out, in the layout of Kaggle.

Here: the order of things. Not here: one file (`fetch`), one archive (`unpack`), judging a folder (`check`).

Images come first, the metadata last: a folder in which a download was interrupted is no data folder yet. What
was unpacked from a verified archive is noted with its SHA-256 in a receipt, so that `data verify` can
compare the files with it later.
"""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from zipfile import BadZipFile, ZipFile

from lesionwise.data.dataset import PENDING
from lesionwise.data.download.check import RECEIPT, TEST_TRUTH, check_folder
from lesionwise.data.download.fetch import Patience, fetch
from lesionwise.data.download.sources import KAGGLE, PART_1_LAST, Catalogue, RemoteFile, Set, Source
from lesionwise.data.download.unpack import Unpacked, is_readable, unpack_images
from lesionwise.data.layouts.ham10000 import metadata_file
from lesionwise.data.layouts.isic import read_isic
from lesionwise.data.layouts.listing import find_images, read_table
from lesionwise.errors import DataError, DownloadError, import_extra, reraised
from lesionwise.files import copy_file, read_json, write_bytes, write_json, write_text
from lesionwise.progress import SILENT, Progress

METADATA: Final = "HAM10000_metadata.csv"
COLUMNS: Final = ("lesion_id", "image_id", "dx", "dx_type", "age", "sex", "localization")
_TEST_IMAGES: Final = "ISIC2018_Task3_Test_Images"
_SPARE: Final = 1.05  # file systems round up
_MAX_TABLE_BYTES: Final = 16 << 20


@dataclass(frozen=True)
class Downloaded:
    """What a download did.

    Attributes:
        source: Who handed it out; None if all was there already.
        failed: Sources that were asked before, and why they did not provide it.
        kept: Files that were there with other bytes and were left untouched.
    """

    folder: Path
    source: Source | None
    failed: dict[Source, str] = field(default_factory=dict)
    kept: tuple[str, ...] = ()


def download_set(
    wanted: Set,
    out: Path,
    *,
    source: Source | None = None,
    catalogue: Catalogue | None = None,
    progress: Progress = SILENT,
    patience: Patience | None = None,
) -> Downloaded:
    """Download a set, unless it is there and right.

    Raises:
        DownloadError: If no source hands the set out whole.
        DataError: If the disk is too small, or the folder holds another set.
    """
    catalogue = catalogue or Catalogue()
    candidates = catalogue.sources(wanted, source)
    _refuse_other_set(wanted, out)
    if check_folder(out, wanted, catalogue).complete:
        return Downloaded(out, None)
    failed: dict[Source, str] = {}
    for candidate in candidates:
        job = _Job(candidate, wanted, out, catalogue, progress, patience or Patience())
        try:
            kept = job.run()
        except DownloadError as error:
            failed[candidate] = str(error)
            continue
        except OSError as error:
            raise DataError(f"{out}: cannot be written: {error.strerror or error}.") from error
        shutil.rmtree(out / PENDING, ignore_errors=True)
        return Downloaded(out, candidate, failed, kept)
    reasons = "\n".join(f"  {name}: {reason}" for name, reason in failed.items())
    raise DownloadError(
        f"No source provided the {wanted} set. {out / PENDING} keeps what arrived so far. Run the command "
        f"again to continue.\n{reasons}"
    )


@dataclass(frozen=True)
class _Job:
    """One set from one source."""

    source: Source
    wanted: Set
    out: Path
    catalogue: Catalogue
    progress: Progress
    patience: Patience

    def run(self) -> tuple[str, ...]:
        """Bring the set into the folder, verify it, and return the files that were left untouched."""
        archives = self.catalogue.files.get((self.source, self.wanted), ())
        if self.source is Source.kaggle:
            unpacked = Unpacked({}, self._copy_from_kaggle())  # no archive vouches for these bytes
        else:
            _verify_room(self.out, archives)
            unpacked = self._fetch_all(archives)
        self._write_receipt(archives, unpacked)
        found = check_folder(self.out, self.wanted, self.catalogue)
        if not found.complete:
            shutil.rmtree(self.out / PENDING / self.source, ignore_errors=True)  # or it would be taken again
            raise DownloadError(f"it did not provide the whole set: {found.summary}")
        return unpacked.kept

    def place(self, name: str) -> str:
        """Return the folder of an image file."""
        if self.wanted is Set.test:
            return _TEST_IMAGES
        return f"HAM10000_images_part_{1 if name[: len(PART_1_LAST)] <= PART_1_LAST else 2}"

    def _copy_from_kaggle(self) -> tuple[str, ...]:
        """Have kagglehub download the set, copy it without its lower-case twins, and return what was kept."""
        kagglehub = import_extra("kagglehub")
        # kagglehub documents no errors.
        with reraised(DownloadError, f"kagglehub could not download {KAGGLE}: ", Exception, after=""):
            folder = Path(kagglehub.dataset_download(KAGGLE))
        metadata = metadata_file(folder)
        if metadata is None:
            raise DownloadError(f"kagglehub: expected {METADATA} in {KAGGLE} but found none.")
        images = find_images([folder])
        kept: list[str] = []
        for number, path in enumerate(images.values(), 1):
            name = f"{self.place(path.name)}/{path.name}"
            if is_readable(self.out / name):
                kept.append(name)
            else:
                copy_file(path, self.out / name)
            self.progress.on_work("copying images", number, len(images))
        copy_file(metadata, self.out / METADATA)
        return tuple(kept)

    def _fetch_all(self, archives: Sequence[RemoteFile]) -> Unpacked:
        written: dict[str, tuple[str, int]] = {}
        kept: list[str] = []
        tables: dict[str, Path] = {}
        pending = self.out / PENDING / self.source
        for file in archives:
            address = self.catalogue.addresses[self.source]
            path = fetch(file, address, pending, progress=self.progress, patience=self.patience)
            if file.role == "images":
                part = unpack_images(path, self.out, place=self.place, progress=self.progress)
                written |= part.written
                kept.extend(part.kept)
            elif file.role == "masks":
                path.replace(self.out / file.name)
            else:
                tables[file.role] = path
        if tables:
            self._write_table(tables, pending)
        return Unpacked(written, tuple(kept))

    def _write_table(self, tables: dict[str, Path], pending: Path) -> None:
        """Put the table into its place, from whatever form the source has it in."""
        if "metadata" in tables:
            _verify_columns(tables["metadata"])
            tables["metadata"].replace(self.out / METADATA)
            return
        truth = _table_of(tables["truth"])
        if self.wanted is Set.test:
            truth.replace(self.out / TEST_TRUTH)
            return
        listing = read_isic(pending)  # the truth and the lesion groupings stand there alone
        if listing is None:
            raise DownloadError(f"{tables['truth'].name}: expected *_GroundTruth.csv in it but found none.")
        table = listing.table.reindex(columns=list(COLUMNS)).sort_values("image_id")
        write_text(self.out / METADATA, table.to_csv(index=False, lineterminator="\n"))

    def _write_receipt(self, archives: Sequence[RemoteFile], unpacked: Unpacked) -> None:
        path = self.out / RECEIPT
        earlier: dict[str, list[Any]] = read_json(path)["files"] if path.is_file() else {}
        facts: dict[str, Any] = {
            "source": self.source,
            "set": self.wanted,
            "archives": [
                {key: value for key, value in vars(file).items() if key in ("name", "size", "md5", "sha256")}
                for file in archives
            ],
            "files": earlier | {path: list(found) for path, found in unpacked.written.items()},
            "kept": list(unpacked.kept),
        }
        write_json(path, facts)


def _refuse_other_set(wanted: Set, out: Path) -> None:
    if out.exists() and not out.is_dir():
        raise DataError(f"{out}: expected a folder but found a file.")
    other = {Set.train: TEST_TRUTH, Set.test: METADATA}.get(wanted)
    if other and (out / other).exists():
        raise DataError(
            f"{out}: holds {other}, and the {wanted} set must not mix with another. Name a new folder."
        )


def _verify_room(out: Path, files: Sequence[RemoteFile]) -> None:
    """Raise unless all archives and what is in them fit beside each other.

    An archive stays until its set is whole: a stop midway then costs no second download.
    """
    there = next(parent for parent in (out, *out.absolute().parents) if parent.exists())
    size = sum(file.size or file.about for file in files)
    need, free = int(2 * size * _SPARE), shutil.disk_usage(there).free
    if free < need:
        raise DataError(
            f"{out}: expected {need / 1e9:.1f} GB of free space (the images and their archives) but found "
            f"{free / 1e9:.1f} GB. Make room, or choose another --out."
        )


def _verify_columns(path: Path) -> None:
    found = read_table(path)
    missing = [column for column in COLUMNS if column not in found]
    if missing:
        path.unlink()
        raise DownloadError(
            f"{path.name}: expected the columns {', '.join(COLUMNS)} but lacks {', '.join(missing)}."
        )


def _table_of(path: Path) -> Path:
    """Return a truth CSV: the file itself, or the one in the archive, taken out beside it."""
    if path.suffix != ".zip":
        return path
    with reraised(DownloadError, f"{path.name}: is damaged: ", BadZipFile), ZipFile(path) as content:
        names = [member for member in content.infolist() if member.filename.endswith("_GroundTruth.csv")]
        if len(names) != 1 or names[0].file_size > _MAX_TABLE_BYTES:
            raise DownloadError(f"{path.name}: expected one small *_GroundTruth.csv in it.")
        target = path.with_suffix(".csv")
        write_bytes(target, content.read(names[0]))
    path.unlink()
    return target
