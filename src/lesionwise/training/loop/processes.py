"""Several processes that train as one: one for each device, on one machine or on many.

Not here: which images each of them reads (`sampling`), and adding up their gradients, which is PyTorch's
DistributedDataParallel.
"""

import logging
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from inspect import signature
from typing import Any, Final, TypeVar

import torch
from lightning.fabric import Fabric
from lightning.fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from lightning.fabric.strategies.ddp import DDPStrategy as Group
from lightning.fabric.utilities.rank_zero import rank_zero_only
from lightning.pytorch.strategies import DDPStrategy
from torch.nn.parallel import DistributedDataParallel

from lesionwise.errors import RunError
from lesionwise.recipe import Recipe
from lesionwise.wording import counted

_TALKATIVE: Final = (
    "lightning.pytorch",
    "lightning.fabric",
    "mlflow",
    "alembic",
    "torch.utils.cpp_extension",
)

T = TypeVar("T")
_DDP_OPTIONS: Final = signature(DistributedDataParallel).parameters
_STARTERS: Final[tuple[tuple[type[ClusterEnvironment], str], ...]] = (
    (TorchElasticEnvironment, "torchrun"),
    (SLURMEnvironment, "Slurm"),
)
_LAUNCHED: Final = ("MASTER_ADDR", "MASTER_PORT", "NODE_RANK", "LOCAL_RANK", "WORLD_SIZE", "OMP_NUM_THREADS")
_LOST: Final = ("connection", "peer", "nccl", "gloo")  # in what PyTorch says of a lost process
# After each step the others would forget what they have seen; `module` averages the statistics instead.
_SYNC: Final = next(name for name in ("forward_sync_buffers", "broadcast_buffers") if name in _DDP_OPTIONS)
ACCELERATORS: Final = {"cuda": "gpu"}  # Lightning's names, where they are others


@contextmanager
def quiet_lightning() -> Iterator[None]:
    """Keep Lightning's tips out of the output while it works."""
    loggers = {name: logging.getLogger(name) for name in _TALKATIVE}
    levels = {name: logger.level for name, logger in loggers.items()}
    for logger in loggers.values():
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            # Rows of a memory map are copied in milliseconds: worker processes would only move them twice.
            warnings.filterwarnings("ignore", message=".*does not have many workers.*")
            # History keeps its own row per epoch; there is nothing else to log.
            warnings.filterwarnings("ignore", message=".*no logger configured.*")
            # Lightning asks PyTorch in a way that newer releases are leaving.
            warnings.filterwarnings("ignore", message=".*LeafSpec.* is deprecated.*")
            # A resumed run finds its own folder, which is the point.
            warnings.filterwarnings("ignore", message=".*Checkpoint directory .* exists and is not empty.*")
            # Alembic and SQLAlchemy, with which MLflow keeps its store, disagree on what is out of date.
            warnings.filterwarnings("ignore", message=".*noload.*loader strategy is deprecated.*")
            # On a login node of a cluster one may well train without srun.
            warnings.filterwarnings("ignore", message=".*`srun` command is available.*")
            yield
    finally:
        for name, logger in loggers.items():
            logger.setLevel(levels[name])


@dataclass(frozen=True)
class Processes:
    """The processes of one training, as one of them sees them.

    Attributes:
        rank: Number of this process, from 0 on.
        fabric: Lightning's connection between them; None where there is one alone.
    """

    rank: int = 0
    devices: int = 1
    nodes: int = 1
    fabric: Fabric | None = None

    @property
    def count(self) -> int:
        """How many there are."""
        return self.devices * self.nodes

    @property
    def is_first(self) -> bool:
        """Whether this is the one that writes, prints and answers."""
        return self.rank == 0

    def first(self, work: Callable[[], T]) -> T:
        """Do something in the first process alone, however long it takes, and return its result in all.

        Args:
            work: Gives something that can be sent to another process.

        Raises:
            SystemExit: In the other processes, if the work fails; the first one raises its error.
        """
        if self.fabric is None:
            return work()
        outcome: tuple[bool, T | None] = (False, None)
        error = None
        with self.fabric.rank_zero_first():  # which may wait for hours, unlike what follows
            if self.is_first:
                try:
                    outcome = (True, work())
                except BaseException as failure:  # noqa: BLE001 (the others must hear of it, whatever it is)
                    error = failure
        done, result = self.fabric.broadcast(outcome)
        if error is not None:
            raise error
        if not done:
            raise SystemExit(0)
        return result  # type: ignore[return-value] # done says that it is one

    def trainer_options(self, recipe: Recipe) -> dict[str, Any]:
        """Return what Lightning's `Trainer` must know of the processes.

        Args:
            recipe: Frozen weights have no gradient to add up, and PyTorch must know that.
        """
        options: dict[str, Any] = {"devices": self.devices, "num_nodes": self.nodes}
        if self.fabric is None:
            return options
        assert isinstance(self.fabric.strategy, Group)  # noqa: S101 (for the type checker)
        wrapping: dict[str, Any] = {
            "find_unused_parameters": bool(recipe.freeze or recipe.freeze_layers),
            _SYNC: False,
        }
        strategy = DDPStrategy(cluster_environment=self.fabric.strategy.cluster_environment, **wrapping)
        return {**options, "strategy": strategy, "use_distributed_sampler": False}


def is_first_process() -> bool:
    """Return whether this process is the one that shows what happens, as far as is known before it joins."""
    return not getattr(rank_zero_only, "rank", 0)


def verify_share(recipe: Recipe, processes: int) -> None:
    """Make sure that a batch can be dealt out evenly.

    Args:
        recipe: Its `batch_size` is that of a step of all processes together, in `accumulate` parts.
    """
    if processes > 1 and recipe.probe:
        raise RunError("probe fits one layer, in one process. Leave --devices and --nodes out.")
    mixes = bool(recipe.mixup or recipe.cutmix)
    unit = (processes * 2 if mixes and processes > 1 else processes) * recipe.accumulate
    if recipe.batch_size % unit:
        why = ", and images that are mixed in pairs," if mixes else ""
        higher = -(-recipe.batch_size // unit) * unit
        lower = higher - unit
        raise RunError(
            f"batch_size = {recipe.batch_size} counts the images of a step of all processes together, which "
            f"{counted(processes, 'process', 'processes')}{why} cannot share evenly. Set it to "
            f"{f'{lower} or ' if lower else ''}{higher}, or change --devices."
        )


@contextmanager
def joined_processes(device: str, *, devices: int = 1, nodes: int = 1) -> Iterator[Processes]:
    """Yield the processes of a training, each of which runs the block.

    torchrun and Slurm start them all. Without either, this process is the first of its machine, and Lightning
    starts the command again for each further device.

    Raises:
        RunError: If the machine lacks the devices, others were started than asked for, or one is lost.
    """
    _verify_devices(device, devices)
    _verify_started(devices, nodes)
    if devices * nodes == 1:
        yield Processes()
        return
    before = {name: os.environ.get(name) for name in _LAUNCHED}
    threads = torch.get_num_threads()
    fabric = _make_fabric(device, devices, nodes)
    try:
        with quiet_lightning():
            fabric.launch()
        yield Processes(fabric.global_rank, devices, nodes, fabric)
        torch.distributed.destroy_process_group()
    except BaseException as error:
        _end_started(fabric)
        if explained := _explain(error, first=fabric.global_rank == 0):
            raise explained from error
        raise
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
        torch.set_num_threads(threads)


def _make_fabric(device: str, devices: int, nodes: int) -> Fabric:
    accelerator = ACCELERATORS.get(device, device)
    try:
        with quiet_lightning():
            return Fabric(accelerator=accelerator, devices=devices, num_nodes=nodes, strategy=Group())
    except RuntimeError as error:  # in a notebook there is no command to start again
        raise RunError(f"Several devices need a script or a command: {error}") from error


def _explain(error: BaseException, *, first: bool) -> BaseException | None:
    """Return what to raise in place of an error that another process brought about or speaks of as well."""
    interrupted = isinstance(error, KeyboardInterrupt | SystemExit)
    lost = isinstance(error, RuntimeError) and any(word in str(error).lower() for word in _LOST)
    if not first and (interrupted or lost):
        return SystemExit(0)
    if lost:
        return RunError("Another process of this training ended; it says why. --resume goes on.")
    return None


def _end_started(fabric: Fabric) -> None:
    """End the processes that this one started; they hold nothing that is not written.

    Gloo's group is left first: at exit its threads would find the others gone, and abort this process. NCCL
    would wait for what the others no longer send.
    """
    if torch.distributed.is_initialized() and torch.distributed.get_backend() == "gloo":
        with suppress(RuntimeError):  # a peer may be gone already
            torch.distributed.destroy_process_group()
    for process in getattr(fabric.strategy.launcher, "procs", ()):
        with suppress(OSError):
            process.kill()


def _verify_devices(device: str, devices: int) -> None:
    if device == "mps" and devices > 1:
        raise RunError("mps is one device: leave --devices out.")
    if device == "cuda" and devices > torch.cuda.device_count():
        raise RunError(
            f"Expected --devices {devices} but this machine has {torch.cuda.device_count()} of cuda."
        )


def _verify_started(devices: int, nodes: int) -> None:
    """Make sure that as many processes were started as are asked for."""
    for environment, name in _STARTERS:
        if not environment.detect():
            continue
        try:
            started = environment().world_size()
            if started == devices * nodes:
                environment().validate_settings(devices, nodes)
        except (RuntimeError, ValueError) as error:  # Lightning's own advice on Slurm
            raise RunError(str(error)) from error
        if started != devices * nodes:
            raise RunError(
                f"{name} started {counted(started, 'process', 'processes')}, but --devices {devices} and "
                f"--nodes {nodes} ask for {devices * nodes}: one for each device of each node."
            )
        return
