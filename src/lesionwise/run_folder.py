"""The run folder: the files in which the stages of a run meet.

Not here: what the files hold, which belongs to the stage that writes them, writing them whole (`files`), and
what every stage notes of itself (`run_record`).
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from lesionwise.errors import RunError, SplitError
from lesionwise.files import file_sha256, is_used, lock_path, read_json, sole_writer
from lesionwise.wording import did_you_mean

Kind = Literal["run", "ensemble", "cross-validation", "leakage measurement"]
_INSTEAD: Final[dict[Kind, str]] = {
    "run": "",
    "ensemble": "Name one of the runs that it was made of.",
    "cross-validation": "Its folds, fold-1 and so on, are runs, but none of them can take the final "
    "exam. For that, train one on the whole split.",
    "leakage measurement": "Its page is leakage.html. The four runs in it serve only to be compared.",
}


class _Inside:
    """A path inside a run folder, by its name there, with slashes."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __get__(self, run: "RunFolder", owner: type["RunFolder"]) -> Path:
        return run.path / self.name


@dataclass(frozen=True)
class RunFolder:
    """Paths of one run; nothing is created until a stage writes."""

    path: Path

    config = _Inside("config.toml")
    """The resolved recipe."""
    data = _Inside("data.json")
    """Where the data came from, and its fingerprint."""
    start = _Inside("start.json")
    """The run whose weights it started from, and the images that made those."""
    environment = _Inside("environment.json")
    """Versions and machine."""
    split = _Inside("split.csv")
    """The split of this run."""
    split_facts = _Inside("split.json")
    """How it was made, and its fingerprint."""
    originals = _Inside("originals.csv")
    """What images and lesions of a merge were called in their own collections; only its runs have it."""
    history = _Inside("history.csv")
    """One row per epoch."""
    timing = _Inside("timing.json")
    """Seconds, images per second and peak memory of each stage."""
    checkpoints = _Inside("checkpoints")
    """The folder of the checkpoints that follow."""
    best = _Inside("checkpoints/best.ckpt")
    """The weights of the best epoch, or of the last where nothing is watched: those that answer."""
    last = _Inside("checkpoints/last.ckpt")
    """All that a training needs to continue."""
    before_last = _Inside("checkpoints/before-last.ckpt")
    """The same of the epoch before, for as long as the training goes on."""
    reread = _Inside("reread.json")
    """The run whose weights were evaluated again here, and what those were trained with."""
    calibration = _Inside("calibration.json")
    """What the raw outputs mean, as learnt on `cal`: temperature, prediction sets, thresholds."""
    scores = _Inside("scores.json")
    """Every score with its interval, per part."""
    explanation = _Inside("explanation.json")
    """What the tests of the maps gave, per part."""
    overlays = _Inside("explanations")
    """Photographs with their maps, and the page that shows them."""
    robustness = _Inside("robustness.json")
    """The score on changed images, per part."""
    figures = _Inside("figures")
    """Each figure as SVG, and its table as CSV."""
    report = _Inside("report.html")
    """The report, one self-contained HTML file."""
    model_card = _Inside("model_card.md")
    """What a stranger must know, in Markdown with the header that model hubs read."""
    outsiders = _Inside("outsiders.json")
    """How well the run rejects each kind of picture that shows no lesion, where that was measured."""
    cross_validation = _Inside("cross-validation.json")
    """Folds, which are done, and their mean; only a cross-validation has it."""
    ensemble = _Inside("ensemble.json")
    """The members as they were when they were averaged; only an ensemble has it."""
    leakage = _Inside("leakage.json")
    """The result of each protocol; only a leakage measurement has it."""

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
    """Return the folder of a new run, or of a stopped one; nothing is made until a stage writes."""
    verify_no_file(path)
    if not is_used(path):
        return RunFolder(path)
    if not resume:
        raise RunError(f"{path}: is not empty. Pass --resume to continue that run, or another --out.")
    return open_run_folder(path, "run")


def verify_no_file(path: Path) -> None:
    """Make sure that no file is where a folder is to be."""
    if path.exists() and not path.is_dir():
        raise RunError(f"{path}: expected a folder but found a file.")


def claim_own_folder(record: Path, *, what: str) -> None:
    """Make sure that a command that continues by itself writes into nobody else's folder."""
    verify_no_file(record.parent)
    if is_used(record.parent) and not record.is_file():
        raise RunError(f"{record.parent}: is not empty and holds no {what}. Pass another --out.")


def verify_same_start(path: Path, differs: Mapping[str, bool | str]) -> None:
    """Make sure that a folder is continued with the settings it started with, by what differs and how."""
    changed = [name for name, other in differs.items() if other]
    if changed:
        words = "; ".join(how for how in differs.values() if isinstance(how, str) and how)
        raise RunError(
            f"{path}: was started with another {' and '.join(changed)}{f' ({words})' if words else ''}. "
            "Continue with the same, or pass another --out."
        )


def trained_with(run: RunFolder) -> dict[str, Any]:
    """Return the keys that `evaluate --set` changed, with the values that the weights were trained with."""
    return dict(read_json(run.reread)["trained_with"]) if run.reread.is_file() else {}


def verify_not_reread(run: RunFolder) -> None:
    """Make sure that a folder holds weights of its own, before it is trained on."""
    if run.reread.is_file():
        raise RunError(
            f'{run.path}: was made by "evaluate --set" and cannot be trained further. Continue the first run.'
        )


def read_split_facts(run: RunFolder) -> dict[str, Any]:
    """Return what is noted of a run's split, after comparing its fingerprint with its own."""
    facts: dict[str, Any] = read_json(run.split_facts)
    if run.split.is_file():
        verify_split_unchanged(run.split, str(facts.get("fingerprint")), file_sha256(run.split))
    return facts


def verify_same_split(runs: Sequence[RunFolder]) -> None:
    """Make sure that runs were made with one split, so that none was trained on another's test images."""
    prints = [str(read_split_facts(run)["fingerprint"]) for run in runs]
    for run, fingerprint in zip(runs, prints, strict=True):
        if fingerprint != prints[0]:
            raise RunError(
                f"{run.path}: was made with split {fingerprint[:12]}, {runs[0].path} with {prints[0][:12]}. "
                "One model's images may be in the other's training set. Train all with the same --split."
            )


def verify_split_unchanged(path: Path, noted: str, found: str) -> None:
    """Make sure that a split has the fingerprint that was noted beside it when it was made."""
    if found != noted:
        facts = path.with_suffix(".json")
        raise SplitError(
            f"{path}: was edited after it was made: {facts.name} beside it states the fingerprint "
            f"{noted[:12]}, but its rows have {found[:12]}. Put the file back as it was. To work with the "
            f"edited rows, copy them without {facts.name} and pass the copy as --split to a new run."
        )


def open_run_folder(path: Path, *kinds: Kind) -> RunFolder:
    """Return the folder of an existing run. `kinds`: what it may hold; anything if left out."""
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


@contextmanager
def run_to_write(path: Path, *kinds: Kind) -> Iterator[RunFolder]:
    """Open the folder of an existing run, and keep other processes from writing into it inside the block.

    What is done with an ensemble is done with its members, so those are kept as well. Arguments and errors
    are those of `open_run_folder`.
    """
    run = open_run_folder(path, *kinds)
    with sole_writer(*folders_of(run)):
        yield run


def folders_of(*runs: RunFolder) -> list[Path]:
    """Return the folders of runs and, of ensembles, those of the members that are still there; none twice."""
    found = {run.path.resolve(): None for run in runs if run.path.is_dir()}
    for run in runs:
        if run.ensemble.is_file():
            members = (RunFolder(Path(member["run"])) for member in read_json(run.ensemble)["members"])
            found |= dict.fromkeys(folders_of(*members))
    return list(found)


def next_run_path(parent: Path, name: str) -> Path:
    """Return the first unused path among `parent/name-1`, `parent/name-2` and so on.

    Characters of a network's name that a file name cannot hold, at least on Windows, become dashes.
    """
    name, number = re.sub(r"[:/\\]", "-", name), 1
    while (path := parent / f"{name}-{number}").exists() or lock_path(path).exists():
        number += 1
    return path
