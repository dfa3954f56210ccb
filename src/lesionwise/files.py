"""Files written whole or not at all, the files below a folder, JSON, and hashes."""

import errno
import json
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from hashlib import file_digest
from pathlib import Path
from shutil import copyfile, rmtree
from typing import Any, Final, Self, TypeVar

from filelock import BaseFileLock, FileLock, Timeout

from lesionwise.errors import BusyError, RunError

LOCK: Final = ".lock"
"""Name of the lock inside a folder, and end of the name of the lock beside something."""
_LITTER: Final = "__MACOSX"  # what a Mac puts into a zip beside the files


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
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `path`, which takes its place only if the block succeeds."""
    whole = path.resolve()
    temporary = whole.with_name(f".{whole.name}.part")
    with sole_writer(whole):
        _verify_new(path)
        rmtree(temporary, ignore_errors=True)  # of a process that was killed
        temporary.mkdir(parents=True)
        try:
            yield temporary
            if whole.exists():
                (whole / LOCK).unlink(missing_ok=True)
                whole.rmdir()  # which fails where somebody put something into it meanwhile
            temporary.replace(whole)
        finally:
            rmtree(temporary, ignore_errors=True)


def _verify_new(path: Path) -> None:
    if path.is_dir() and all(inside.name == LOCK for inside in path.iterdir()):
        return
    if path.exists():
        what = "is not empty" if path.is_dir() else "is a file"
        raise RunError(f"{path}: {what}. Name a folder that does not exist yet.")


def is_used(folder: Path) -> bool:
    """Return whether a folder holds more than a lock and what a killed writer left half written."""
    return folder.is_dir() and any(
        not (path.name == LOCK or (path.name.startswith(".") and path.suffix in {".part", LOCK}))
        for path in folder.iterdir()
    )


def walk_files(folder: Path, on_denied: Callable[[OSError], None] | None = None) -> Iterator[Path]:
    """Yield every file below a folder, sorted by name within each folder.

    Linked folders are followed. A folder that is met again, as in a loop of links, is passed over, and so are
    hidden files and folders, such as `.ipynb_checkpoints`.

    Args:
        on_denied: Is called with the error of each folder that cannot be read, also because it vanished.
    """
    met: set[tuple[int, int]] = set()
    for parent, subfolders, names in os.walk(folder, onerror=on_denied, followlinks=True):
        try:
            found = os.stat(parent)  # noqa: PTH116 (os.walk gives text)
        except OSError as error:  # it vanished after it was listed
            subfolders.clear()
            if on_denied:
                on_denied(error)
            continue
        place = found.st_dev, found.st_ino
        if place in met:
            subfolders.clear()
            continue
        met.add(place)
        subfolders[:] = sorted(name for name in subfolders if not is_litter(name))
        for name in sorted(names):
            if not is_litter(name):
                yield Path(parent, name)


def is_litter(name: str) -> bool:
    """Return whether a file or folder is hidden, or what a Mac puts beside others."""
    return name == _LITTER or name.startswith(".")


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
def sole_writer(*targets: Path) -> Iterator[None]:
    """Keep other processes from writing files or folders for as long as the block runs.

    A killed process holds nothing. The lock of a target lies beside it, and that of a folder inside it as
    well: a user may be allowed to write in the one place and not in the other. Every user may open it.

    Raises:
        BusyError: If another process writes one of them, or if nobody can know, because the lock belongs to
            another user.
    """
    with ExitStack() as held:
        for target in targets:
            target.absolute().parent.mkdir(parents=True, exist_ok=True)
            for path in (lock_path(target), *([target / LOCK] if target.is_dir() else [])):
                _hold(path, target, held)
        yield


def _hold(path: Path, target: Path, held: ExitStack) -> None:
    """Hold a lock until the stack ends; none where this user may not make one."""
    lock = FileLock(path, timeout=0, mode=0o666)
    try:
        lock.acquire()
    except Timeout as error:
        raise BusyError(
            f"{target}: another process is writing it. Wait until that ends, or name another place."
        ) from error
    except OSError as error:
        if error.errno not in {errno.EACCES, errno.EPERM, errno.EROFS}:
            raise
        if error.errno != errno.EROFS and path.exists():
            raise BusyError(
                f"{target}: another user is writing it, or their process was killed: the lock {path} cannot "
                "be opened. Wait until that ends, let them remove the lock, or name another place."
            ) from error
        return
    held.callback(_let_go, lock, path)


def _let_go(lock: BaseFileLock, path: Path) -> None:
    with suppress(OSError):  # an open file stays on Windows
        path.unlink()
    lock.release()


def lock_path(target: Path) -> Path:
    """Return the file that stands for the right to write a file or folder."""
    whole = target.absolute()
    return whole.with_name(f".{whole.name}{LOCK}")


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all."""
    write_bytes(path, text.encode())


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


@dataclass(frozen=True)
class JsonRecord:
    """A record that a JSON file holds as plain dictionaries and lists."""

    def to_json(self) -> dict[str, Any]:
        """Return plain dictionaries and lists."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Self:
        """Return the record that `to_json` wrote, with the records inside it."""
        from pydantic import TypeAdapter  # noqa: PLC0415 (a tenth of a second at the start)

        return TypeAdapter(cls).validate_python(value)


Record = TypeVar("Record", bound=JsonRecord)


def read_part(path: Path, part: str, kind: type[Record]) -> Record | None:
    """Return what a file holds of one part of a split; None if there is no file, or it lacks the part."""
    parts = read_json(path)["parts"] if path.is_file() else {}
    return kind.from_json(parts[part]) if part in parts else None


def write_part(path: Path, part: str, record: JsonRecord) -> None:
    """Add to a file what was measured on one part of a split."""
    earlier = read_json(path)["parts"] if path.is_file() else {}
    write_json(path, {"parts": {**earlier, part: record.to_json()}})


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file as hexadecimal text."""
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()
