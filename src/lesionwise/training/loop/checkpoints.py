"""Checkpoints on disk: written whole beside their target, and compared with their checksums when read.

Lightning writes a checkpoint to the system's temporary folder first; where that is another disk, moving it is
copying it, and a kill leaves a part under the final name. And PyTorch reads changed weights without a word,
although its files, which are zips, hold a checksum of each tensor.
"""

import errno
import logging
import shutil
import zipfile
from pathlib import Path
from typing import Any, Final

import torch
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO
from typing_extensions import override

from lesionwise.errors import RunError
from lesionwise.files import atomic_path
from lesionwise.run_folder import RunFolder

_LOG: Final = logging.getLogger("lesionwise.training")
_LEAST_FREE: Final = 1 << 20  # bytes; PyTorch reports a full disk as a failed write of any kind


class WholeCheckpoints(TorchCheckpointIO):
    """Writes a checkpoint beside its target and gives it its name when it is whole.

    Args:
        run: Its last checkpoint is kept as the one before when another is written.
    """

    def __init__(self, run: RunFolder) -> None:
        super().__init__()
        self.run = run

    @override
    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: object = None
    ) -> None:
        target = Path(path)
        with atomic_path(target) as temporary:
            try:
                with temporary.open("wb") as file:  # PyTorch would write the name of a path into it
                    torch.save(checkpoint, file)
            except RuntimeError as error:
                if shutil.disk_usage(target.parent).free > _LEAST_FREE:
                    raise
                raise OSError(errno.ENOSPC, "No space left on device", str(target)) from error
            if target.name == self.run.last.name and target.exists():  # Lightning's path is absolute
                target.replace(target.with_name(self.run.before_last.name))


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Return what a checkpoint holds."""
    if not path.exists():
        raise RunError(
            f"{path.parents[1]}: has no {path.name}. Train it first, or continue it with --resume."
        )
    if fault := _fault(path):
        raise RunError(f"{path}: is damaged ({fault}). Put a copy of it back, or train the run anew.")
    return dict(torch.load(path, map_location="cpu", weights_only=True))


def newest_whole(run: RunFolder) -> Path | None:
    """Return the newest checkpoint to go on from; None if the run has none yet.

    A damaged one is named in a warning, and the one before it is taken.

    Raises:
        RunError: If there are some, and all are damaged.
    """
    there = [path for path in (run.last, run.before_last) if path.exists()]
    for path in there:
        fault = _fault(path)
        if not fault:
            return path
        _LOG.warning("%s: is damaged (%s); the run goes on from the checkpoint before it.", path, fault)
    if there:
        raise RunError(
            f"{' and '.join(map(str, there))}: damaged, and no checkpoint is left to continue from. "
            "Put a copy back, or train the run anew with another --out."
        )
    return None


def _fault(path: Path) -> str:
    """Return what is wrong with a checkpoint; nothing if it is whole."""
    try:
        with zipfile.ZipFile(path) as archive:
            wrong = archive.testzip()
    except Exception as error:  # noqa: BLE001 (parsers of a damaged zip raise anything)
        return str(error) or type(error).__name__
    return f"{wrong} in it does not have its checksum" if wrong else ""
