"""`test-ledger.csv`: who looked at the test images, when, with which model.

A test set is worn out by looking: the ledger makes every look visible.
"""

import csv
import getpass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

COLUMNS: Final = ("when", "who", "run", "model_sha256", "split_fingerprint")


def append_ledger(path: Path, *, run: str, model_sha256: str, split_fingerprint: str) -> int:
    """Note one look at the test images of a split and return how many of them there have been.

    Args:
        path: The ledger, beside the split.
        run: Name of the run.
        model_sha256: Hash of the weights that were used.
        split_fingerprint: Of the split whose test part was read.
    """
    new = not path.exists()
    with path.open("a", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        if new:
            writer.writerow(COLUMNS)
        now = datetime.now(UTC).isoformat(timespec="seconds")
        writer.writerow([now, _user(), run, model_sha256, split_fingerprint])
    with path.open(encoding="utf-8", newline="") as file:
        return sum(row["split_fingerprint"] == split_fingerprint for row in csv.DictReader(file))


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # no login name, as in some containers
        return "unknown"
