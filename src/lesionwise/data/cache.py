"""The image cache: every image of a data set, decoded once, as one memory-mapped array.

Not here: how one image is read (`images`).

A cache folder is named by what it was made from (ids, file sizes and times, target size, image rule), so a
changed file leads to another cache. Threads decode chunks of rows and write them to `pixels.part`; a finished
chunk is noted in `journal` with the checksum of its pixels. When all chunks are noted, `pixels.part` is
renamed to `pixels.npy`. Whoever opens a cache compares every chunk with its checksum, and decodes again what
differs: what a killed process, a power cut or a failing disk left is never taken for the images. A whole
cache is opened without a lock and without writing, so it may lie on a read-only disk.
"""

import errno
import mmap
import os
import re
import zlib
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from filelock import FileLock
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from lesionwise.arrays import Pixels
from lesionwise.data.dataset import Dataset
from lesionwise.data.findings import Finding, raise_findings
from lesionwise.data.images import image_rule, read_content, read_image
from lesionwise.errors import DataError, ImageError, reraised
from lesionwise.execution import Execution, default_cache_root, usable_cores
from lesionwise.files import atomic_path, blamed_on, write_text
from lesionwise.progress import Progress
from lesionwise.wording import counted

CHUNK: Final = 256  # rows: some 50 MB at 225x300, half a second of decoding that an interruption can cost
_FORMAT: Final = 2  # of the journal and the pixels: in 2, pictures other than JPEGs are scaled down in blocks
_JOURNAL_LINE: Final = re.compile(r"((\d+) ([0-9a-f]{8})((?: [0-9a-f]{64})+)) ([0-9a-f]{8})\n")
_NOT_WRITABLE: Final = {errno.EACCES, errno.EPERM, errno.EROFS}
_PIXELS: Final = "pixels.npy"


@dataclass(frozen=True)
class ImageCache:
    """Pixels of a data set in the order of its table.

    Attributes:
        pixels: RGB values, shape (N, H, W, 3), uint8, memory-mapped and read-only.
        fingerprint: SHA-256 over ids, diagnoses, lesions and file contents: the same for the same data
            on any machine and in any layout.
    """

    pixels: Pixels
    fingerprint: str
    path: Path

    def __getstate__(self) -> dict[str, Any]:
        """Return what is sent to another process: where a memory map lies, never what it holds."""
        mapped = isinstance(self.pixels, np.memmap)
        return {**self.__dict__, "path": self.path.resolve(), "pixels": None if mapped else self.pixels}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Open the memory map where it lies."""
        if state["pixels"] is None:
            state["pixels"] = np.load(state["path"] / _PIXELS, mmap_mode="r")
        self.__dict__.update(state)


def open_cache(
    dataset: Dataset,
    size: tuple[int, int],
    *,
    steps: tuple[str, ...] = (),
    execution: Execution = Execution(),
) -> ImageCache:
    """Return the pixels of a data set, decoding only what was never decoded."""
    builder = _Builder(dataset, size, steps, execution)
    folder = builder.folder
    if not builder.is_whole():
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with FileLock(folder / "lock", mode=0o666):  # the second of two commands waits
                if not builder.is_whole():
                    builder.build(execution.progress)
        except OSError as error:
            if error.errno not in _NOT_WRITABLE:
                raise
            raise DataError(
                f"{folder}: the image cache is incomplete, and its folder cannot be written to: "
                f"{error.strerror}. Set LESIONWISE_CACHE to a folder that you can write to."
            ) from error
    pixels = np.load(builder.pixels, mmap_mode="r")
    return ImageCache(pixels, builder.fingerprint(builder.noted_hashes()), folder)


def release_pages(pixels: NDArray[Any]) -> None:
    """Release the memory of what was read of a memory map.

    The system keeps it in its cache of files as before. But it no longer counts as memory of this process,
    which would grow to the size of the file.
    """
    if isinstance(pixels.base, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        pixels.base.madvise(mmap.MADV_DONTNEED)


def data_fingerprint(
    dataset: Dataset,
    size: tuple[int, int],
    *,
    steps: tuple[str, ...] = (),
    execution: Execution = Execution(),
) -> str:
    """Return the fingerprint of a data set, with hashes from its cache where that is whole."""
    builder = _Builder(dataset, size, steps, execution)
    hashes = builder.noted_hashes()
    if len(hashes) < len(builder.paths):
        with ThreadPoolExecutor(builder.workers) as pool:
            hashes = list(pool.map(builder.hash_file, builder.ids, builder.paths))
    return builder.fingerprint(hashes)


class _Chunk(NamedTuple):
    """What the journal keeps of some rows: CRC-32 of their pixels as hexadecimal, SHA-256 of each file."""

    checksum: str
    hashes: list[str]


class _Builder:
    """Fills one cache folder."""

    def __init__(
        self, dataset: Dataset, size: tuple[int, int], steps: tuple[str, ...], execution: Execution
    ) -> None:
        self.dataset = dataset
        self.ids = dataset.table["image_id"].tolist()
        self.paths = dataset.paths
        self.size = size
        self.steps = steps
        self.workers = execution.workers or usable_cores()
        key = sha256(f"{image_rule(steps)} {size} {CHUNK} {_FORMAT}".encode())
        for image_id, path in zip(self.ids, self.paths, strict=True):
            status = path.stat()
            key.update(f"\n{image_id} {status.st_size} {status.st_mtime_ns}".encode())
        name = f"{key.hexdigest()[:16]}-{size[0]}x{size[1]}"
        self.folder = Path(execution.cache_root or default_cache_root()) / name
        self.pixels = self.folder / _PIXELS
        self.part = self.folder / "pixels.part"
        self.journal = self.folder / "journal"

    @property
    def starts(self) -> range:
        """The first row of each chunk."""
        return range(0, len(self.paths), CHUNK)

    def is_whole(self) -> bool:
        """Return whether the file is there and every chunk has the checksum that was noted."""
        return len(self._sound_chunks(self.pixels)) == len(self.starts)

    def build(self, progress: Progress) -> None:
        """Decode what is missing or damaged, and give the file its name when nothing is."""
        if self.pixels.exists():
            self.pixels.replace(self.part)
        done = self._sound_chunks(self.part)
        write_text(self.journal, "".join(_journal_line(start, chunk) for start, chunk in done.items()))
        offset = self._open_part()
        faults: dict[str, str] = {}
        with ThreadPoolExecutor(self.workers) as pool:
            pending = {
                pool.submit(self._decode_chunk, offset, start) for start in self.starts if start not in done
            }
            try:
                while pending:
                    finished, pending = wait(pending, return_when=FIRST_COMPLETED)
                    for start, chunk, chunk_faults in (one.result() for one in finished):
                        faults |= chunk_faults
                        if not chunk_faults:
                            done[start] = chunk
                            with self.journal.open("a", encoding="utf-8", newline="\n") as journal:
                                journal.write(_journal_line(start, chunk))
                    read = min(len(done) * CHUNK, len(self.paths))
                    progress.on_work("reading images", read, len(self.paths))
            finally:
                pool.shutdown(wait=True, cancel_futures=True)
        raise_findings(_unreadable(faults), str(self.dataset.folder))
        self.part.replace(self.pixels)

    def read_journal(self) -> dict[int, _Chunk]:
        """Return what was noted of each finished chunk, by its first row."""
        try:
            lines = self.journal.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)
        except FileNotFoundError:
            return {}
        done = {}
        for line in lines:
            match = _JOURNAL_LINE.fullmatch(line)
            if match and match[5] == _checksum(match[1].encode()):
                start, hashes = int(match[2]), match[4].split()
                if len(hashes) == len(self.paths[start:][:CHUNK]):
                    done[start] = _Chunk(match[3], hashes)
        return done

    def noted_hashes(self) -> list[str]:
        """Return the SHA-256 of each file as far as it was noted, in the order of rows."""
        return [value for _, chunk in sorted(self.read_journal().items()) for value in chunk.hashes]

    def hash_file(self, image_id: str, path: Path) -> str:
        with reraised(DataError, f"{self.dataset.folder}: {image_id} ", ImageError):
            return sha256(read_content(path)).hexdigest()

    def fingerprint(self, hashes: list[str]) -> str:
        rows = self.dataset.table[["image_id", "lesion_id", "dx"]].itertuples(index=False)
        lines = (f"{' '.join(row)} {value}\n" for row, value in zip(rows, hashes, strict=True))
        return sha256("".join(lines).encode()).hexdigest()

    def _sound_chunks(self, file: Path) -> dict[int, _Chunk]:
        """Return the chunks whose pixels have the checksum that was noted."""
        noted = self.read_journal()
        pixels = self._map(file) if noted else None
        if pixels is None:
            return {}
        with ThreadPoolExecutor(self.workers) as pool:
            found = pool.map(lambda start: _checksum(pixels[start : start + CHUNK].data), noted)
            return {
                start: chunk
                for (start, chunk), checksum in zip(noted.items(), found, strict=True)
                if chunk.checksum == checksum
            }

    def _map(self, file: Path) -> Pixels | None:
        """Return the pixels of a file if it has those of this data set, whatever their values."""
        try:
            pixels = np.load(file, mmap_mode="r")
        except (OSError, ValueError, EOFError):  # missing, cut off or another kind of file
            return None
        shape = (len(self.paths), *self.size, 3)
        return pixels if pixels.shape == shape and pixels.dtype == np.uint8 else None

    def _open_part(self) -> int:
        """Make the file with all its room, unless it is there, and return where its pixels begin."""
        if self._map(self.part) is None:
            with atomic_path(self.part) as temporary:
                shape = (len(self.paths), *self.size, 3)
                offset = open_memmap(temporary, mode="w+", dtype=np.uint8, shape=shape).offset
                if hasattr(os, "posix_fallocate"):  # a full disk shows now, and writing needs half the time
                    with temporary.open("r+b") as file:
                        os.posix_fallocate(file.fileno(), 0, offset + int(np.prod(shape)))
        return int(open_memmap(self.part, mode="r").offset)

    def _decode_chunk(self, offset: int, start: int) -> tuple[int, _Chunk, dict[str, str]]:
        """Write one chunk, and return its first row, what to note of it and what could not be read."""
        hashes: list[str] = []
        faults: dict[str, str] = {}
        checksum = 0
        row_bytes = self.size[0] * self.size[1] * 3
        # Writing costs a quarter of what faulting in the pages of a memory map does.
        with blamed_on(self.part), self.part.open("r+b") as file:
            file.seek(offset + start * row_bytes)
            rows = slice(start, start + CHUNK)
            for image_id, path in zip(self.ids[rows], self.paths[rows], strict=True):
                try:
                    content = read_content(path)
                    pixels = read_image(content, self.size, steps=self.steps)
                except ImageError as error:
                    faults[image_id] = str(error)
                    file.seek(row_bytes, os.SEEK_CUR)
                else:
                    file.write(pixels.data)
                    checksum = zlib.crc32(pixels.data, checksum)
                    hashes.append(sha256(content).hexdigest())
        return start, _Chunk(f"{checksum:08x}", hashes), faults


def _checksum(content: bytes | memoryview) -> str:
    return f"{zlib.crc32(content):08x}"


def _journal_line(start: int, chunk: _Chunk) -> str:
    line = f"{start} {chunk.checksum} {' '.join(chunk.hashes)}"
    return f"{line} {_checksum(line.encode())}\n"


def _unreadable(faults: dict[str, str]) -> list[Finding]:
    reasons = "; ".join(f"{image} {reason}" for image, reason in list(faults.items())[:3])
    message = f"{counted(len(faults), 'image')} cannot be read ({reasons})"
    remedy = "Download them again, or remove their rows."
    return [Finding("D007", "error", message, remedy, ids=tuple(faults))] if faults else []
