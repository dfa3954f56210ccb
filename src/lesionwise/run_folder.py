"""The run folder: the files in which the stages of a run meet.

Here: the one place that knows file names, and claiming a folder. Not here: what the files hold, which
belongs to the stage that writes them, writing them whole (`files`), and what every stage notes of itself
(`run_record`).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from lesionwise.errors import RunError, SplitError
from lesionwise.files import file_sha256, lock_path, read_json
from lesionwise.wording import did_you_mean

Kind = Literal["run", "ensemble", "cross-validation", "leakage measurement"]
_INSTEAD: Final[dict[Kind, str]] = {
    "run": "",
    "ensemble": "Name one of the runs that it was made of.",
    "cross-validation": "Its folds, fold-1 and so on, are runs, but none of them is one for the final exam: "
    "for that, train one on the whole split.",
    "leakage measurement": "Its page is leakage.html; the four runs inside are there to be compared.",
}


@dataclass(frozen=True)
class RunFolder:
    """Paths of one run; nothing is created until a stage writes.

    Attributes:
        path: The folder itself.
    """

    path: Path

    @property
    def config(self) -> Path:
        """The resolved recipe."""
        return self.path / "config.toml"

    @property
    def data(self) -> Path:
        """Where the data came from, and its fingerprint."""
        return self.path / "data.json"

    @property
    def environment(self) -> Path:
        """Versions and machine."""
        return self.path / "environment.json"

    @property
    def split(self) -> Path:
        """The split of this run."""
        return self.path / "split.csv"

    @property
    def split_facts(self) -> Path:
        """How it was made, and its fingerprint."""
        return self.split.with_suffix(".json")

    @property
    def history(self) -> Path:
        """One row per epoch."""
        return self.path / "history.csv"

    @property
    def timing(self) -> Path:
        """Seconds, images per second and peak memory of each stage."""
        return self.path / "timing.json"

    @property
    def checkpoints(self) -> Path:
        """The folder of the two that follow."""
        return self.path / "checkpoints"

    @property
    def best(self) -> Path:
        """The weights of the best epoch, or of the last where nothing is watched: those that answer."""
        return self.checkpoints / "best.ckpt"

    @property
    def last(self) -> Path:
        """All that a training goes on from."""
        return self.checkpoints / "last.ckpt"

    @property
    def before_last(self) -> Path:
        """The same of the epoch before, for as long as the training goes on."""
        return self.checkpoints / "before-last.ckpt"

    @property
    def reread(self) -> Path:
        """Whose weights a run has that was not trained itself, and what those were trained with."""
        return self.path / "reread.json"

    @property
    def calibration(self) -> Path:
        """What the raw outputs mean, as learnt on `cal`: temperature, prediction sets, thresholds."""
        return self.path / "calibration.json"

    @property
    def scores(self) -> Path:
        """Every score with its interval, per part."""
        return self.path / "scores.json"

    @property
    def explanation(self) -> Path:
        """What the tests of the maps gave, per part."""
        return self.path / "explanation.json"

    @property
    def overlays(self) -> Path:
        """Photographs with their maps, and the page that shows them."""
        return self.path / "explanations"

    @property
    def robustness(self) -> Path:
        """The score on changed images, per part."""
        return self.path / "robustness.json"

    @property
    def figures(self) -> Path:
        """Each figure as SVG, and its table as CSV."""
        return self.path / "figures"

    @property
    def report(self) -> Path:
        """The report, one self-contained HTML file."""
        return self.path / "report.html"

    @property
    def model_card(self) -> Path:
        """What a stranger must know, in Markdown with the header that model hubs read."""
        return self.path / "model_card.md"

    @property
    def outsiders(self) -> Path:
        """How well each kind of such pictures is told, where that was measured."""
        return self.path / "outsiders.json"

    @property
    def cross_validation(self) -> Path:
        """Folds, which are done, and their mean; only a cross-validation has it."""
        return self.path / "cross-validation.json"

    @property
    def ensemble(self) -> Path:
        """The members as they were when they were averaged; only an ensemble has it."""
        return self.path / "ensemble.json"

    @property
    def leakage(self) -> Path:
        """What each protocol came to; only a leakage measurement has it."""
        return self.path / "leakage.json"

    @property
    def kind(self) -> Kind:
        """What the folder holds."""
        if self.leakage.is_file():
            return "leakage measurement"
        if self.cross_validation.is_file():
            return "cross-validation"
        return "ensemble" if self.ensemble.is_file() else "run"

    def fold(self, number: int) -> "RunFolder":
        """Return the run of a fold; only a cross-validation has them."""
        return RunFolder(self.path / f"fold-{number}")

    def embeddings(self, pictures: str) -> Path:
        """Return the path of the network's embeddings of some pictures; of "cal" in the order of ids."""
        return self.path / f"embeddings-{pictures}.npy"

    def predictions(self, part: str) -> Path:
        """Return the path of the predictions CSV of a part."""
        return self.path / f"predictions-{part}.csv"


def claim_run_folder(path: Path, *, resume: bool = False) -> RunFolder:
    """Return the folder of a new run, or of a stopped one; nothing is made until a stage writes.

    Args:
        path: Where the run lives.
        resume: Continue what is there instead of refusing it.

    Raises:
        RunError: If something is there that must not be written over or cannot be continued.
    """
    if path.exists() and not path.is_dir():
        raise RunError(f"{path}: expected a folder but found a file.")
    if not _is_used(path):
        return RunFolder(path)
    if not resume:
        raise RunError(f"{path}: is not empty. Pass --resume to continue that run, or another --out.")
    return open_run_folder(path, "run")


def claim_own_folder(record: Path, *, what: str) -> None:
    """Make sure that a command that continues by itself writes into nobody else's folder.

    Args:
        record: The file that such a command writes before any other.
        what: It keeps in the folder, for the message.

    Raises:
        RunError: If something is there, and not this record.
    """
    if record.parent.exists() and not record.parent.is_dir():
        raise RunError(f"{record.parent}: expected a folder but found a file.")
    if _is_used(record.parent) and not record.is_file():
        raise RunError(f"{record.parent}: is not empty and holds no {what}. Pass another --out.")


def verify_same_start(path: Path, differs: Mapping[str, bool | str]) -> None:
    """Make sure that a folder is continued with the settings it started with.

    Args:
        path: The folder.
        differs: Whether each setting is another one now, by its name; or how it changed, in words.

    Raises:
        RunError: If one is.
    """
    changed = [name for name, other in differs.items() if other]
    if changed:
        words = "; ".join(how for how in differs.values() if isinstance(how, str) and how)
        raise RunError(
            f"{path}: was begun with another {' and '.join(changed)}{f' ({words})' if words else ''}. "
            "Continue with the same, or pass another --out."
        )


def trained_with(run: RunFolder) -> dict[str, Any]:
    """Return the keys that `evaluate --set` changed, with the values that the weights were trained with."""
    return dict(read_json(run.reread)["trained_with"]) if run.reread.is_file() else {}


def verify_not_reread(run: RunFolder) -> None:
    """Make sure that a folder holds weights of its own, before it is trained on.

    Raises:
        RunError: If `evaluate --set` made it.
    """
    if run.reread.is_file():
        raise RunError(
            f'{run.path}: was made by "evaluate --set" and is not trained on. Continue the first run.'
        )


def read_split_facts(run: RunFolder) -> dict[str, Any]:
    """Return what is noted of a run's split, after comparing its fingerprint with that of the split itself.

    Raises:
        RunError: If the note is missing or damaged.
        SplitError: If the split was edited since.
    """
    facts: dict[str, Any] = read_json(run.split_facts)
    if run.split.is_file():
        verify_split_unchanged(run.split, str(facts.get("fingerprint")), file_sha256(run.split))
    return facts


def verify_split_unchanged(path: Path, noted: str, found: str) -> None:
    """Make sure that a split has the fingerprint that was noted beside it when it was made.

    Args:
        path: The split.
        noted: In the JSON beside it.
        found: Of the rows that it has now.

    Raises:
        SplitError: If it has another one.
    """
    if found != noted:
        facts = path.with_suffix(".json")
        raise SplitError(
            f"{path}: was edited after it was made: {facts.name} beside it notes the fingerprint "
            f"{noted[:12]}, and its rows have {found[:12]}. Put the file back as it was. To work with the "
            f"edited rows, copy them without {facts.name} and pass the copy as --split to a new run."
        )


def open_run_folder(path: Path, *kinds: Kind) -> RunFolder:
    """Return the folder of an existing run.

    Args:
        path: The folder.
        kinds: What it may hold; anything if left out.

    Raises:
        RunError: If it is not a run folder, or holds something else.
        SplitError: If its split was edited.
    """
    run = RunFolder(path)
    if not path.is_dir():
        beside = [str(other) for other in path.parent.iterdir()] if path.parent.is_dir() else []
        raise RunError(f"{path}: expected a run folder but found none.{did_you_mean(str(path), beside)}")
    if not run.config.is_file():
        raise RunError(f"{path}: expected a run folder but found no {run.config.name} in it.")
    if kinds and run.kind not in kinds:
        raise RunError(
            f"{path}: expected a folder of {' or '.join(kinds)} but this is one of {run.kind}. "
            f"{_INSTEAD[run.kind]}".rstrip()
        )
    if run.split_facts.is_file():
        read_split_facts(run)
    return run


def _is_used(path: Path) -> bool:
    """Return whether a folder holds more than what a killed writer left half written."""
    return path.is_dir() and any(
        not (name.name.startswith(".") and name.name.endswith(".part")) for name in path.iterdir()
    )


def next_run_path(parent: Path, name: str) -> Path:
    """Return the first unused path among `parent/name-1`, `parent/name-2` and so on.

    What names of networks hold and a file name must not, on Windows at the latest, becomes a dash.
    """
    name, number = re.sub(r"[:/\\]", "-", name), 1
    while (path := parent / f"{name}-{number}").exists() or lock_path(path).exists():
        number += 1
    return path
