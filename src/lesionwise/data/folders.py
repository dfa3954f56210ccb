"""The files below a folder, in a stable order."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

PENDING: Final = ".download"  # in a folder whose download is not finished
_LITTER: Final = "__MACOSX"  # what a Mac puts into a zip beside the files


def walk_files(folder: Path, on_denied: Callable[[OSError], None] | None = None) -> Iterator[Path]:
    """Yield every file below a folder, those of a folder by name.

    Linked folders are followed. A folder that is met again, as in a loop of links, is passed over, and so are
    hidden files and folders, such as `.ipynb_checkpoints`.
    """
    met: set[tuple[int, int]] = set()
    for parent, subfolders, names in os.walk(folder, onerror=on_denied, followlinks=True):
        found = os.stat(parent)  # noqa: PTH116 (os.walk gives text)
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
