"""Files written whole or not at all, JSON, and hashes.

Here: what every room that writes a file uses. Not here: which files a run has (`run_folder`).
"""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import file_digest
from pathlib import Path
from shutil import copyfile
from typing import Any

from filelock import FileLock, Timeout

from lesionwise.errors import BusyError, RunError


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`, which takes its place only if the block succeeds."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with blamed_on(path):
            yield temporary
            temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def blamed_on(path: Path) -> Iterator[None]:
    """Name a file in errors of the system that name none, such as that of a full disk."""
    try:
        yield
    except OSError as error:
        if error.errno and error.filename is None:
            error.filename = str(path)
        raise


@contextmanager
def sole_writer(target: Path) -> Iterator[None]:
    """Keep other processes from writing a file or folder for as long as the block runs.

    A killed process holds nothing. Where no lock can be made, as in a folder of somebody else, none is held.

    Args:
        target: What the block writes; the lock is beside it.
    """
    path = lock_path(target)
    lock = FileLock(path, timeout=0)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout as error:
        raise BusyError(
            f"{target}: another process is writing it. Wait until that ends, or name another place."
        ) from error
    except PermissionError:
        yield
        return
    try:
        yield
    finally:
        with suppress(OSError):  # an open file stays on Windows
            path.unlink()
        lock.release()


def lock_path(target: Path) -> Path:
    """Return the file that stands for the right to write a file or folder."""
    whole = target.absolute()
    return whole.with_name(f".{whole.name}.lock")


def write_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def copy_file(source: Path, target: Path) -> None:
    """Copy a file whole or not at all."""
    with atomic_path(target) as temporary:
        copyfile(source, temporary)


def write_json(path: Path, value: Any) -> None:  # noqa: ANN401 (any JSON value)
    """Write a JSON file whole or not at all."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:  # noqa: ANN401 (any JSON value)
    """Read a JSON file of a run."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RunError(f"{path}: cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise RunError(f"{path}: is not valid JSON: {error}.") from error


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file as hexadecimal text."""
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()
