"""Doing the runs of an experiment: one after another in this process, or on the machines of a Ray cluster.

Not here: the runs (`folder`) and the connection (`lesionwise.cluster`).

Ray tasks write into the same folders as a command without Ray, which all machines must see under one path. A
task whose machine is lost starts again elsewhere and goes on from the last checkpoint.
"""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from lesionwise.cluster import joined
from lesionwise.errors import LesionwiseError, RunError
from lesionwise.experiments.folder import HeldOut
from lesionwise.progress import SILENT

if TYPE_CHECKING:
    from types import ModuleType

RETRIES: Final = 3  # machines that one run may lose


def finish_all(work: Callable[[HeldOut], None], runs: Sequence[HeldOut]) -> Iterator[HeldOut]:
    """Do all runs of an experiment where its `execution.engine` says, and yield each when it is done.

    If one fails, or if Ray gives up, the other tasks end, and the same call goes on where they were.

    Args:
        work: What to do with a run; a function of an installed module, so that every machine knows it.
    """
    if runs and runs[0].execution.engine == "ray":
        yield from _finish_with_ray(work, runs)
        return
    for number, run in enumerate(runs, 1):
        run.execution.progress.on_run(run.title)
        run.execution.progress.on_stage("all runs", number, len(runs))
        work(run)
        yield run


def _finish_with_ray(work: Callable[[HeldOut], None], runs: Sequence[HeldOut]) -> Iterator[HeldOut]:
    execution = runs[0].execution
    for run in runs:
        execution.progress.on_run(run.title)
    alone = replace(execution, progress=SILENT)  # a screen cannot be sent to another machine
    with joined() as ray:
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        task = ray.remote(_do).options(max_retries=RETRIES, **task_share(nodes, execution.device))
        waiting = {task.remote(work, replace(run, execution=alone), sys.argv): run for run in runs}
        while waiting:
            done, _ = ray.wait(list(waiting))
            for reference in done:
                run = waiting.pop(reference)
                _raise(ray, reference, run)
                yield run


def task_share(nodes: Sequence[Mapping[str, float]], device: str) -> dict[str, float]:
    """Return what one task asks for: a whole machine, or a GPU with its part of the processor.

    Training uses all cores that it is given, so two tasks on one machine would only slow each other down.

    Returns:
        `num_cpus` and, where there are GPUs, `num_gpus`.
    """
    with_gpu = [node for node in nodes if node.get("GPU", 0) >= 1] if device in {"auto", "cuda"} else []
    if with_gpu:
        return {
            "num_gpus": 1,
            "num_cpus": min(max(1, node.get("CPU", 1) // node["GPU"]) for node in with_gpu),
        }
    return {"num_cpus": max(1, min((node["CPU"] for node in nodes if node.get("CPU")), default=1))}


def _do(work: Callable[[HeldOut], None], run: HeldOut, command: list[str]) -> str | None:
    """Do one run on the machine that Ray chose; errors meant for the user come back as their message."""
    sys.argv = command  # a run records the command that it was made by
    try:
        work(run)
    except LesionwiseError as error:
        return str(error)
    return None


def _raise(ray: "ModuleType", reference: Any, run: HeldOut) -> None:  # noqa: ANN401 (Ray's)
    try:
        message = ray.get(reference)
    except ray.exceptions.RayTaskError:  # a mistake of ours, with the traceback of the machine it happened on
        raise
    except ray.exceptions.RayError as error:
        reason = str(error).strip().partition("\n")[0]
        raise RunError(f"{run.out}: Ray gave up: {reason}. Run the same command to continue.") from error
    if message is not None:
        raise RunError(message)
