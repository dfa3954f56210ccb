"""A folder of several runs that one command makes and continues: a cross-validation, a leakage measurement.

Not here: which images each run holds out (`crossval`, `leakage`), and where the runs are done (`sharing`).
The record says what the folder holds. It is written first, which makes the folder one of its kind, and the
split last: a folder without a split has not started.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock

from lesionwise.errors import SplitError
from lesionwise.execution import Execution, default_cache_root
from lesionwise.files import read_json, write_json, write_text
from lesionwise.recipe import Recipe
from lesionwise.run_folder import RunFolder, claim_own_folder, verify_not_reread, verify_same_start
from lesionwise.run_record import describe_environment
from lesionwise.split.split_file import Split, is_other_split, write_split
from lesionwise.training.ledger import predict_held_out
from lesionwise.training.loop.hardware import choose_device
from lesionwise.training.prepare import TableData, TrainingData, prepare
from lesionwise.training.run import recipe_changes, train, verify_recipe


@dataclass(frozen=True)
class HeldOut:
    """One run of an experiment, which holds images out; it can be sent to another machine.

    Attributes:
        out: Its run folder, which may have been started.
        split: What the run sees; its test part is held out.
    """

    title: str
    recipe: Recipe
    data: Path
    out: Path
    split: Path
    seed: int
    execution: Execution

    @contextmanager
    def alone(self) -> Iterator[RunFolder]:
        """Keep other processes from doing the run at the same time.

        A machine that counts as lost may still be at work when another takes over.
        """
        with FileLock(self.split.with_suffix(".lock")):
            yield RunFolder(self.out)

    def finish(self) -> None:
        """Train the run, from where it was stopped, and predict what it holds out."""
        train(
            self.recipe,
            self.data,
            out=self.out,
            split=self.split,
            seed=self.seed,
            resume=True,
            execution=self.execution,
        )
        predict_held_out(RunFolder(self.out), self.execution)


@dataclass(frozen=True)
class Experiment:
    """Several runs of one recipe on one data folder, and the folder that they are kept in.

    Attributes:
        record: The file in it that says what it holds.
    """

    recipe: Recipe
    data: Path
    folder: RunFolder
    record: Path
    seed: int
    execution: Execution

    @property
    def started(self) -> bool:
        """Whether the folder is to be continued."""
        return self.folder.split_facts.exists()

    def verify_recipe(self) -> None:
        """Refuse a recipe that would fail here once images were read; other machines check their own."""
        local = self.execution.engine == "local"
        device = choose_device(self.execution.device) if local else None
        verify_recipe(self.recipe, device, resumed=self.started)

    def read(
        self,
        split: Path | None,
        verify: Callable[[TableData], object],
        *,
        what: str,
        **settings: Any,  # noqa: ANN401 (JSON values)
    ) -> TrainingData:
        """Read the data of a new folder, or of one that is continued, with the settings it started with.

        `verify` gets what the table alone tells, before images are read.
        """
        if self.recipe.defect_resample_before_split:
            raise SplitError(
                f"defect_resample_before_split makes a split of its own, as a {what} does. Leave that key "
                "out."
            )
        claim_own_folder(self.record, what=what)
        if self.started:
            self._verify_same_settings(split, settings)
        own: Path | Literal["lesion"] = (self.folder.split if self.started else split) or "lesion"
        data = prepare(
            self.data, self.recipe, split=own, seed=self.seed, verify=verify, execution=self.execution
        )
        if self.started:
            changed = data.is_other_than(read_json(self.record), self.recipe.metadata)
            verify_same_start(self.folder.path, {"content of --data": changed})
        return data

    def _verify_same_settings(self, split: Path | None, settings: dict[str, Any]) -> None:
        verify_not_reread(self.folder)
        kept, now = read_json(self.record), {"seed": self.seed, **settings}
        differs: dict[str, bool | str] = {"recipe": recipe_changes(self.recipe, self.folder.config)}
        for name, value in now.items():
            option, was = _option(name), kept.get(name, value)
            differs[option] = "" if was == value else f"{option} was {was}, now {value}"
        differs["--split"] = is_other_split(split, self.folder.split)
        verify_same_start(self.folder.path, differs)

    def start(self, data: TrainingData, split: Split, **facts: Any) -> None:  # noqa: ANN401 (JSON values)
        """Write the files that a new folder starts with."""
        content = data.content(self.recipe.metadata)
        write_json(self.record, {"seed": self.seed, **content, **facts})
        write_text(self.folder.config, self.recipe.to_toml())
        write_json(self.folder.environment, describe_environment())
        write_split(split, self.folder.split)

    def held_out(self, name: str, title: str, split: Split) -> HeldOut:
        """Write what a run sees, and return the run with paths that hold in every working directory."""
        folder = self.folder.path.absolute()
        path = folder / "splits" / f"{name}.csv"
        write_split(split, path)
        cache_root = Path(self.execution.cache_root or default_cache_root()).absolute()
        return HeldOut(
            title=title,
            recipe=self.recipe,
            data=self.data.absolute(),
            out=folder / name,
            split=path,
            seed=self.seed,
            execution=replace(self.execution, cache_root=cache_root),
        )


def _option(name: str) -> str:
    return "--seed" if name == "seed" else name
