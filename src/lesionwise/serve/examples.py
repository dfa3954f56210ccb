"""Example pictures of the service: a few files of one folder, read once.

Not here: answering, which is the same as for any upload (`service`).
"""

from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Final

from lesionwise.errors import ImageError
from lesionwise.serve.limits import Limits
from lesionwise.serve.problems import Problem
from lesionwise.serve.uploads import verify_kind

MOST: Final = 12
ENDINGS: Final = frozenset({".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp"})


@dataclass(frozen=True)
class Example:
    """An example picture."""

    name: str
    content: bytes
    drawn: bool = False


def read_examples(folder: Path, limits: Limits) -> tuple[Example, ...]:
    """Return the first images of a folder by name; subfolders are not searched."""
    if not folder.is_dir():
        raise ImageError(f"{folder}: expected a folder of example images but there is none.")
    found = sorted(path for path in folder.iterdir() if path.suffix.lower() in ENDINGS)[:MOST]
    if not found:
        endings = ", ".join(sorted(ENDINGS))
        raise ImageError(f"{folder}: expected example images ({endings}) but found none.")
    return tuple(_read(path, limits) for path in found)


def drawn_examples() -> tuple[Example, ...]:
    """Return the example pictures of the package: phantoms, which are drawn, not photographed."""
    folder = files("lesionwise.serve") / "drawn"
    drawn = {path.name: path for path in folder.iterdir() if path.name.endswith(".jpg")}
    return tuple(
        Example(f"drawing {number}", drawn[name].read_bytes(), drawn=True)
        for number, name in enumerate(sorted(drawn), 1)
    )


def _read(path: Path, limits: Limits) -> Example:
    try:
        content = path.read_bytes()
        verify_kind(content)
    except OSError as error:
        raise ImageError(f"{path}: cannot be read: {error.strerror}.") from error
    except Problem as problem:
        raise ImageError(f"{path}: {problem.detail}") from problem
    if len(content) > limits.image_bytes:
        raise ImageError(f"{path}: has {len(content):,} bytes; at most {limits.image_bytes:,} are allowed.")
    return Example(path.stem.replace("_", " "), content)
