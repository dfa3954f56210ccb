"""A run that holds images out: the piece of work that folds and leakage protocols are made of.

Here: one such run from its recipe to its predictions, told in terms that can be sent to another machine.
Not here: which images are held out (`crossval`, `leakage`) and who does the work (`sharing`).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from lesionwise.data.workspace import default_cache_root
from lesionwise.progress import OnEpoch, OnStep
from lesionwise.recipe import Recipe
from lesionwise.run_folder import RunFolder
from lesionwise.split.split_file import Split, write_split
from lesionwise.training.run import predict_held_out, train


@dataclass(frozen=True)
class HeldOut:
    """What there is to do.

    Attributes:
        recipe: Of the run.
        data: Folder of images with its table.
        out: Its run folder, which may have been begun.
        split: What it sees; the test part is held out.
        seed: Of weights, order, augmentation and dropout.
        device: "auto", "cpu", "cuda" or "mps", on the machine that does it.
        cache_root: Folder of all image caches.
        workers: Decoding threads.
    """

    recipe: Recipe
    data: Path
    out: Path
    split: Path
    seed: int
    device: str
    cache_root: Path
    workers: int | None

    @property
    def run(self) -> RunFolder:
        """Its run folder."""
        return RunFolder(self.out)

    @contextmanager
    def alone(self) -> Iterator[RunFolder]:
        """Keep everybody else from doing it at the same time.

        A machine that is given up for lost may still be at work when another takes over.
        """
        with FileLock(self.split.with_suffix(".lock")):
            yield self.run

    def finish(self, *, on_epoch: OnEpoch | None = None, on_step: OnStep | None = None) -> None:
        """Train the run, from where it was stopped, and predict what it holds out.

        Args:
            on_epoch: Called with each row of the history.
            on_step: Called with the number of the epoch, the images done and the images of the epoch.
        """
        train(
            self.recipe,
            self.data,
            out=self.out,
            split=self.split,
            seed=self.seed,
            device=self.device,
            cache_root=self.cache_root,
            workers=self.workers,
            resume=True,
            on_epoch=on_epoch,
            on_step=on_step,
        )
        predict_held_out(self.run, device=self.device, cache_root=self.cache_root)


@dataclass(frozen=True)
class HeldOutMaker:
    """What all runs of one folder have in common.

    Attributes:
        recipe: As in `HeldOut`, like all others but the folder.
        data: The same.
        folder: Of all runs.
        seed: The same.
        device: The same.
        cache_root: The default one if None.
        workers: The same.
    """

    recipe: Recipe
    data: Path
    folder: Path
    seed: int
    device: str
    cache_root: Path | None
    workers: int | None

    def make(self, name: str, split: Split) -> HeldOut:
        """Write what a run sees, and return the run with paths that hold in every working directory."""
        path = self.folder.absolute() / "splits" / f"{name}.csv"
        write_split(split, path)
        return HeldOut(
            recipe=self.recipe,
            data=self.data.absolute(),
            out=self.folder.absolute() / name,
            split=path,
            seed=self.seed,
            device=self.device,
            cache_root=(self.cache_root or default_cache_root()).absolute(),
            workers=self.workers,
        )
