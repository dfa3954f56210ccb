"""Lightning's `Trainer` for a recipe and a machine.

Not here: the step (`module`) and the order of a training (`fit`).
"""

import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import lightning as L
from lightning.pytorch.callbacks import Callback, EarlyStopping, ModelCheckpoint
from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities.exceptions import SIGTERMException

from lesionwise.recipe import Recipe
from lesionwise.run_folder import RunFolder
from lesionwise.training.loop.checkpoints import WholeCheckpoints, read_checkpoint
from lesionwise.training.loop.freezing import Freezing, LowestLayers, weight_averaging
from lesionwise.training.loop.hardware import Precision
from lesionwise.training.loop.processes import ACCELERATORS, Processes

_PLACES: Final = ("best_model_path", "kth_best_model_path", "last_model_path")


def has_stopped(last: Path) -> bool:
    """Return whether early stopping ended the training; Lightning would otherwise add an epoch."""
    callbacks = read_checkpoint(last)["callbacks"]
    return any(
        state["stopped_epoch"] > 0 for name, state in callbacks.items() if name.startswith("EarlyStopping")
    )


class Checkpoint(ModelCheckpoint):
    """Knows its best epoch even if the run folder was moved or copied."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore a state, with its files at their present place."""
        super().load_state_dict(
            {
                **state_dict,
                "dirpath": self.dirpath,
                "best_k_models": {self._here(name): of for name, of in state_dict["best_k_models"].items()},
                **{name: self._here(state_dict[name]) for name in _PLACES},
            }
        )

    def _here(self, name: str) -> str:
        return str(Path(str(self.dirpath)) / Path(name).name) if name else name


def make_trainer(
    recipe: Recipe,
    run: RunFolder,
    device: str,
    precision: Precision,
    watchers: Sequence[Callback],
    *,
    logger: Logger | None = None,
    processes: Processes,
) -> L.Trainer:
    """Return the trainer of a run."""
    mode = "min" if recipe.monitor.endswith("loss") else "max"
    monitor = None if recipe.train_on_val else recipe.monitor  # without one the latest is the best
    best = Checkpoint(
        run.checkpoints, filename="best", monitor=monitor, mode=mode, enable_version_counter=False
    )
    last = Checkpoint(run.checkpoints, filename="last", enable_version_counter=False)
    callbacks: list[Callback] = [best, last]
    if recipe.early_stopping:
        callbacks.append(EarlyStopping(recipe.monitor, mode=mode, patience=recipe.early_stopping))
    if recipe.freeze:
        callbacks.append(Freezing(recipe.freeze))
    if recipe.freeze_layers:
        callbacks.append(LowestLayers(recipe.freeze_layers))
    if recipe.ema:
        callbacks.append(weight_averaging(recipe.ema))
    return L.Trainer(
        accelerator=ACCELERATORS.get(device, device),
        precision=precision,
        max_epochs=recipe.epochs,
        accumulate_grad_batches=recipe.accumulate,
        callbacks=[*callbacks, *watchers],
        logger=logger or False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        limit_val_batches=0 if recipe.train_on_val else 1.0,
        log_every_n_steps=1,  # logging is by epoch; a higher number only makes Lightning warn
        default_root_dir=run.path,
        plugins=[WholeCheckpoints(run)],
        **processes.trainer_options(recipe),
    )


@contextmanager
def honest_exit() -> Iterator[None]:
    """End with the usual exit codes: Lightning ends with 0 on SIGTERM, and with 1 on Ctrl-C."""
    in_main_thread = threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGINT)
    try:
        yield
    except SIGTERMException as error:
        raise SystemExit(128 + signal.SIGTERM) from error
    except SystemExit as error:
        if in_main_thread:
            signal.signal(signal.SIGINT, handler)
        raise KeyboardInterrupt from error
