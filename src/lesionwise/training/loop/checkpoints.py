"""Checkpoints on disk: written completely beside their target, and compared with their checksums when read.

Lightning writes a checkpoint to the system's temporary folder first. If that is another disk, the move is a
copy, and a kill leaves an incomplete file under the final name. PyTorch reads damaged weights without a
warning, although its files, which are zips, contain a checksum of each tensor.
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
_LEAST_FREE: Final = 1 << 20  # bytes; PyTorch reports a full disk like any other failed write


class WholeCheckpoints(TorchCheckpointIO):
    """Writes a checkpoint beside its target and renames it when it is complete.

    Args:
        run: Its last checkpoint becomes the one before when another is written.
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
                with temporary.open("wb") as file:  # given a path, PyTorch would store its name
                    torch.save(checkpoint, file)
            except RuntimeError as error:
                if shutil.disk_usage(target.parent).free > _LEAST_FREE:
                    raise
                raise OSError(errno.ENOSPC, "No space left on device", str(target)) from error
            if target.name == self.run.last.name and target.exists():  # Lightning's path is absolute
                target.replace(target.with_name(self.run.before_last.name))


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Return the content of a checkpoint."""
    if not path.exists():
        raise RunError(
            f"{path.parents[1]}: has no {path.name}. Train it first, or continue it with --resume."
        )
    if fault := _fault(path):
        raise RunError(f"{path}: is damaged ({fault}). Restore a copy of it, or train the run again.")
    return dict(torch.load(path, map_location="cpu", weights_only=True))


def newest_whole(run: RunFolder) -> Path | None:
    """Return the newest undamaged checkpoint; None if the run has none yet.

    A warning names a damaged one, and the one before it is used.

    Raises:
        RunError: If there are checkpoints, and all are damaged.
    """
    there = [path for path in (run.last, run.before_last) if path.exists()]
    for path in there:
        fault = _fault(path)
        if not fault:
            return path
        _LOG.warning("%s: is damaged (%s). The run continues from the checkpoint before it.", path, fault)
    if there:
        raise RunError(
            f"{' and '.join(map(str, there))}: damaged, so no checkpoint is left to continue from. Restore a "
            "copy, or train the run again with another --out."
        )
    return None


def _fault(path: Path) -> str:
    """Return what is wrong with a checkpoint; empty if nothing is."""
    try:
        with zipfile.ZipFile(path) as archive:
            wrong = archive.testzip()
    except Exception as error:  # noqa: BLE001 (reading a damaged zip can raise any error)
        return str(error) or type(error).__name__
    return f"{wrong} in it does not match its checksum" if wrong else ""
