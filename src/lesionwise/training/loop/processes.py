"""Several processes that train together: one for each device, on one machine or on several.

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
    *("lightning.pytorch", "lightning.fabric"),
    *("mlflow", "alembic", "torch.utils.cpp_extension"),
)

_KNOWN_WARNINGS: Final = (
    ".*does not have many workers.*",  # reading a memory map takes milliseconds, less than a transfer would
    ".*no logger configured.*",  # the history has its own row for each epoch; nothing else is logged
    ".*LeafSpec.* is deprecated.*",  # Lightning calls PyTorch in a deprecated way
    ".*Checkpoint directory .* exists and is not empty.*",  # a resumed run finds its own folder
    ".*noload.*loader strategy is deprecated.*",  # Alembic and SQLAlchemy, with which MLflow keeps its store
    ".*`srun` command is available.*",  # training without it on the login node of a cluster is allowed
)
T = TypeVar("T")
_DDP_OPTIONS: Final = signature(DistributedDataParallel).parameters
_STARTERS: Final[tuple[tuple[type[ClusterEnvironment], str], ...]] = (
    (TorchElasticEnvironment, "torchrun"),
    (SLURMEnvironment, "Slurm"),
)
_LAUNCHED: Final = ("MASTER_ADDR", "MASTER_PORT", "NODE_RANK", "LOCAL_RANK", "WORLD_SIZE", "OMP_NUM_THREADS")
_LOST: Final = ("connection", "peer", "nccl", "gloo")  # words in PyTorch's message about a lost process
# PyTorch would overwrite the statistics of the other processes after each step; `module` averages them.
_SYNC: Final = next(name for name in ("forward_sync_buffers", "broadcast_buffers") if name in _DDP_OPTIONS)
ACCELERATORS: Final = {"cuda": "gpu"}  # Lightning's names that differ


@contextmanager
def quiet_lightning() -> Iterator[None]:
    """Suppress Lightning's tips inside the block."""
    loggers = {name: logging.getLogger(name) for name in _TALKATIVE}
    levels = {name: logger.level for name, logger in loggers.items()}
    for logger in loggers.values():
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            for message in _KNOWN_WARNINGS:
                warnings.filterwarnings("ignore", message)
            yield
    finally:
        for name, logger in loggers.items():
            logger.setLevel(levels[name])


@dataclass(frozen=True)
class Processes:
    """The processes of one training, from the view of one of them.

    Attributes:
        rank: Number of this process, from 0.
        fabric: Lightning's connection between them; None if there is only one.
    """

    rank: int = 0
    devices: int = 1
    nodes: int = 1
    fabric: Fabric | None = None

    @property
    def count(self) -> int:
        """Number of processes."""
        return self.devices * self.nodes

    @property
    def is_first(self) -> bool:
        """Whether this process writes, prints and answers."""
        return self.rank == 0

    def first(self, work: Callable[[], T]) -> T:
        """Run a function in the first process, however long it takes, and return its result in all of them.

        Args:
            work: Returns something that can be sent to another process.

        Raises:
            SystemExit: In the other processes, if the work fails; the first one raises its error.
        """
        if self.fabric is None:
            return work()
        outcome: tuple[bool, T | None] = (False, None)
        error = None
        with self.fabric.rank_zero_first():  # this may wait for hours, unlike what follows
            if self.is_first:
                try:
                    outcome = (True, work())
                except BaseException as failure:  # noqa: BLE001 (the others must learn of any failure)
                    error = failure
        done, result = self.fabric.broadcast(outcome)
        if error is not None:
            raise error
        if not done:
            raise SystemExit(0)
        return result  # type: ignore[return-value] # done implies a result

    def trainer_options(self, recipe: Recipe) -> dict[str, Any]:
        """Return the options of Lightning's `Trainer` for the processes.

        Args:
            recipe: PyTorch must know about frozen weights, which have no gradient to add up.
        """
        options: dict[str, Any] = {"devices": self.devices, "num_nodes": self.nodes}
        if self.fabric is None:
            return options
        assert isinstance(self.fabric.strategy, Group)  # noqa: S101 (for the type checker)
        frozen = bool(recipe.freeze or recipe.freeze_layers)
        wrapping: dict[str, Any] = {"find_unused_parameters": frozen, _SYNC: False}
        strategy = DDPStrategy(cluster_environment=self.fabric.strategy.cluster_environment, **wrapping)
        return {**options, "strategy": strategy, "use_distributed_sampler": False}


def is_first_process() -> bool:
    """Return whether this process shows progress, as far as is known before the processes join."""
    return not getattr(rank_zero_only, "rank", 0)


def verify_share(recipe: Recipe, processes: int) -> None:
    """Make sure that a batch can be divided evenly.

    Args:
        recipe: Its `batch_size` is that of a step of all processes together, in `accumulate` parts.
    """
    if processes > 1 and recipe.probe:
        raise RunError("probe fits one layer in one process. Leave --devices and --nodes out.")
    mixes = bool(recipe.mixup or recipe.cutmix)
    unit = (processes * 2 if mixes and processes > 1 else processes) * recipe.accumulate
    if recipe.batch_size % unit:
        why = ", which mix images in pairs," if mixes else ""
        parts = f" in {recipe.accumulate} parts (accumulate)" if recipe.accumulate > 1 else ""
        higher = -(-recipe.batch_size // unit) * unit
        lower = higher - unit
        raise RunError(
            f"batch_size = {recipe.batch_size} is the number of images of a step of all processes together, "
            f"and {counted(processes, 'process', 'processes')}{why} cannot share it evenly{parts}. Set it to "
            f"{f'{lower} or ' if lower else ''}{higher}, or change --devices."
        )


@contextmanager
def joined_processes(device: str, *, devices: int = 1, nodes: int = 1) -> Iterator[Processes]:
    """Yield the processes of a training, each of which runs the block.

    torchrun and Slurm start all processes. Without them, this process is the first of its machine, and
    Lightning starts the command again for each further device.

    Raises:
        RunError: If the machine lacks the devices, other processes were started than requested, or one is
            lost.
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
    except RuntimeError as error:  # a notebook has no command that could be started again
        raise RunError(f"Several devices need a script or a command: {error}") from error


def _explain(error: BaseException, *, first: bool) -> BaseException | None:
    """Return the error to raise in place of one that another process caused or also reports."""
    interrupted = isinstance(error, KeyboardInterrupt | SystemExit)
    lost = isinstance(error, RuntimeError) and any(word in str(error).lower() for word in _LOST)
    if not first and (interrupted or lost):
        return SystemExit(0)
    if lost:
        return RunError("Another process of this training ended, and reported why. Continue with --resume.")
    return None


def _end_started(fabric: Fabric) -> None:
    """End the processes that this one started; all their results are written.

    Gloo's group is left first: at exit its threads would miss the others, and abort this process. NCCL would
    wait for messages that the others no longer send.
    """
    if torch.distributed.is_initialized() and torch.distributed.get_backend() == "gloo":
        with suppress(RuntimeError):  # another process may be gone already
            torch.distributed.destroy_process_group()
    for process in getattr(fabric.strategy.launcher, "procs", ()):
        with suppress(OSError):
            process.kill()


def _verify_devices(device: str, devices: int) -> None:
    if device == "mps" and devices > 1:
        raise RunError("mps is one device. Leave --devices out.")
    if device == "cuda" and devices > torch.cuda.device_count():
        found = torch.cuda.device_count()
        raise RunError(f"Expected --devices {devices} but this machine has {counted(found, 'cuda device')}.")


def _verify_started(devices: int, nodes: int) -> None:
    """Make sure that the number of started processes is the requested one."""
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
                f"--nodes {nodes} need {devices * nodes}: one for each device of each node."
            )
        return
