"""Predictions of the test part of a split, and the ledger that counts them.

Not here: training (`run`), and averaging members (`lesionwise.evaluation.runs.ensemble`).
"""

import csv
import getpass
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from lesionwise.errors import RunError
from lesionwise.evaluation.predictions import write_predictions
from lesionwise.evaluation.runs.ensemble import average, ensemble_members
from lesionwise.evaluation.runs.predictions import refresh_predictions
from lesionwise.execution import Execution
from lesionwise.files import file_sha256
from lesionwise.run_folder import RunFolder
from lesionwise.split.split_file import read_split
from lesionwise.training.fit import write_part_predictions
from lesionwise.training.loop.hardware import choose_device
from lesionwise.training.run import prepare_again

_COLUMNS: Final = ("when", "who", "run", "model_sha256", "split_fingerprint")
_NAME: Final = "test-ledger.csv"


@dataclass(frozen=True)
class Look:
    """One look at the test images of a split."""

    number: int
    ledger: Path


def predict_test_together(run: RunFolder, execution: Execution = Execution()) -> Look | None:
    """Predict the test part of a run, or of each member of an ensemble, and note each look in the ledger.

    A test part that is a held-out fold, and not the final exam, is not noted.
    """
    members = ensemble_members(run)
    if not members and "held_out" in read_split(run.split).meta:
        predict_held_out(run, execution)
        return None
    if not members:
        return predict_test(run, execution)
    looks = [predict_test_together(member, execution) for member in members]
    write_predictions(average(members, "test"), run.predictions("test"))
    refresh_predictions(run, "test")  # an ensemble can have its own calibration
    return looks[-1]


def predict_test(run: RunFolder, execution: Execution = Execution()) -> Look:
    """Predict the test part of a run, and note the look in the ledger."""
    recipe, prepared, origin = prepare_again(run, execution)
    device = choose_device(execution.device)
    ledger = _ledger_path(run, origin)
    number = append_ledger(
        ledger,
        run=run.path.name,
        model_sha256=file_sha256(run.best),
        split_fingerprint=prepared.split.fingerprint,
    )
    write_part_predictions(run, recipe, prepared, ("test",), device=device, progress=execution.progress)
    return Look(number, ledger)


def predict_held_out(run: RunFolder, execution: Execution = Execution()) -> None:
    """Predict the test part of a run that is a held-out fold, and not the final exam.

    Raises:
        RunError: If the data are not those of the training, or the test part is the final exam.
    """
    recipe, prepared, _ = prepare_again(run, execution)
    if "held_out" not in prepared.split.meta:
        raise RunError(
            f'{run.path}: its test part is the final exam. Run "lesionwise evaluate {run.path} --final", '
            "which notes the look in the ledger."
        )
    device = choose_device(execution.device)
    write_part_predictions(run, recipe, prepared, ("test",), device=device, progress=execution.progress)


def append_ledger(path: Path, *, run: str, model_sha256: str, split_fingerprint: str) -> int:
    """Note one look at the test images of a split, and return the number of looks so far.

    Each look makes a test set less trustworthy; the ledger makes the looks visible.
    """
    new = not path.exists()
    with path.open("a", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        if new:
            writer.writerow(_COLUMNS)
        now = datetime.now(UTC).isoformat(timespec="seconds")
        writer.writerow([now, _user(), run, model_sha256, split_fingerprint])
    with path.open(encoding="utf-8", newline="") as file:
        return sum(row["split_fingerprint"] == split_fingerprint for row in csv.DictReader(file))


def _ledger_path(run: RunFolder, split_origin: str | None) -> Path:
    """Return the ledger beside the given split; beside the run if that folder is read-only."""
    if split_origin is None:
        return run.path / _NAME
    folder = Path(split_origin).parent
    return (folder if os.access(folder, os.W_OK) else run.path.parent) / _NAME


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # there is no login name in some containers
        return "unknown"
