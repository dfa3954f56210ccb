"""Two machines of a Ray cluster on this one, of which one is killed midway, twice: run by `test_cluster.py`.

    python two_machines.py MODEL IMAGES DATA OUT

It predicts IMAGES, makes a gallery of DATA, cross-validates on it, and writes what it saw to OUT/seen.json.
"""

import json
import os
import secrets
import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from threading import Thread
from time import sleep, time
from typing import Any

from conftest import NotedProgress

os.environ |= {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # loopback alone
    "RAY_AUTH_MODE": "token",
    "RAY_AUTH_TOKEN": secrets.token_hex(32),
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_worker_niceness": "0",  # tests share their machine with others
    "OMP_NUM_THREADS": "1",
}

import ray
from ray.cluster_utils import Cluster

from lesionwise.bundle.engine import BATCH, load_model
from lesionwise.data.dataset import read_dataset
from lesionwise.data.pictures import find_pictures
from lesionwise.execution import Execution
from lesionwise.experiments.crossval import cross_validate
from lesionwise.predict import ray as predict_ray
from lesionwise.predict.files import Output
from lesionwise.predict.gallery import make_gallery
from lesionwise.predict.ray import _answer_block as answer_block
from lesionwise.recipe import Recipe
from lesionwise.run_folder import RunFolder

FOLDS = 4
MACHINE = {"num_cpus": 1, "object_store_memory": 80 << 20}
QUICK_TO_NOTICE = {
    "health_check_initial_delay_ms": 0,
    "health_check_period_ms": 500,
    "health_check_failure_threshold": 6,
}
RECIPE = {"model": "seed-mlp", "image_size": [24, 32], "epochs": 8, "batch_size": 16, "lr": 1e-3}


def main(model: Path, images: Path, data: Path, out: Path) -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))  # so that no machine stays behind
    cluster = Cluster(
        initialize_head=True,
        head_node_args={**MACHINE, "include_dashboard": False, "_system_config": QUICK_TO_NOTICE},
    )
    try:
        second = cluster.add_node(**MACHINE)
        ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
        seen = {"predict": predict(cluster, second, model, images, out)}
        make_gallery_of(data, model, out / "gallery.safetensors")
        third = cluster.add_node(**MACHINE)
        cluster.wait_for_nodes()
        seen["folds"] = cross(cluster, third, data, out / "folds")
        (out / "seen.json").write_text(json.dumps(seen))
    finally:
        ray.shutdown()
        cluster.shutdown()


def kill_midway(cluster: Cluster, doomed: object, look: Callable[[], tuple[Any, bool]]) -> list[Any]:
    """Kill a machine while it is at work, and return, once that is done, what there was by then.

    Args:
        cluster: Of the machine.
        doomed: The machine.
        look: Tells what is there and whether that is midway.
    """
    kills: list[Any] = []

    def watch() -> None:
        while not kills:
            found, midway = look()
            if midway and is_busy(doomed):
                cluster.remove_node(doomed, allow_graceful=False)
                kills.append(found)
            sleep(0.02)

    Thread(target=watch, daemon=True).start()
    return kills


def slowly(block: Mapping[str, Any], **settings: Any) -> dict[str, Any]:
    """Answer as ever, but so that there is time to die."""
    sleep(1)
    return answer_block(block, **settings)


def predict(cluster: Cluster, doomed: object, model: Path, images: Path, out: Path) -> dict[str, object]:
    vars(predict_ray)["BLOCK"] = BATCH
    predict_ray._answer_block = slowly  # noqa: SLF001
    dealt = [0]
    pictures = list(find_pictures([str(images)]))
    kills = kill_midway(cluster, doomed, lambda: (dealt[-1], 0 < dealt[-1] < len(pictures)))
    started = time()
    tally = predict_ray.predict_with_ray(
        load_model(model), pictures, Output(out / "p.csv", out / "e.csv"), on_done=dealt.append
    )
    return {
        "kills": kills,
        "predicted": tally.predicted,
        "failed": tally.failed,
        "seconds": time() - started,
    }


def make_gallery_of(data: Path, model: Path, path: Path) -> None:
    """Make a gallery of half a folder here, and append the folder on the cluster."""
    engine, dataset, execution = load_model(model), read_dataset(data), Execution(engine="ray")
    half = replace(dataset, table=dataset.table[: len(dataset.table) // 2])
    first, _ = make_gallery(engine, half, path, pictures=True)
    make_gallery(engine, dataset, path, earlier=first, pictures=True, execution=execution)[0].write()


def cross(cluster: Cluster, doomed: object, data: Path, out: Path) -> dict[str, object]:
    def look() -> tuple[dict[str, dict[str, int]], bool]:
        done = finished(out)
        return done, 0 < len(done) < FOLDS

    kills = kill_midway(cluster, doomed, look)
    started = time()
    recipe = Recipe.model_validate(RECIPE)
    result = cross_validate(
        recipe, data, out=out, folds=FOLDS, execution=Execution(engine="ray", device="cpu")
    )
    seconds = time() - started
    again = NotedProgress()
    same = cross_validate(recipe, data, out=out, folds=FOLDS, execution=Execution(progress=again))
    return {
        "kills": kills,
        "done": result.done,
        "after": finished(out),
        "again": again.runs,
        "same": same.to_json() == result.to_json(),
        "seconds": seconds,
    }


def finished(out: Path) -> dict[str, dict[str, int]]:
    """Return when each file of each finished fold was written."""
    if not (out / "cross-validation.json").exists():
        return {}
    folds = [RunFolder(path) for path in sorted(out.glob("fold-*")) if RunFolder(path).scores.exists()]
    return {
        own.path.name: {
            str(file.relative_to(own.path)): file.stat().st_mtime_ns
            for file in sorted(own.path.rglob("*"))
            if file.suffix in {".ckpt", ".toml"} or file.name == "history.csv"
        }
        for own in folds
        if "test" in json.loads(own.scores.read_text())["parts"]
    }


def is_busy(machine: object) -> bool:
    """Return whether a machine is at work on a task: its workers then carry the task's name."""
    [raylet] = machine.all_processes["raylet"]  # type: ignore[attr-defined]
    names = [
        (path.parent / "cmdline").read_text()
        for path in Path("/proc").glob("[0-9]*/stat")
        if _parent(path) == raylet.process.pid
    ]
    return any("::MapBatches" in name or "::_do" in name for name in names)


def _parent(stat: Path) -> int | None:
    try:
        return int(stat.read_text().rpartition(")")[2].split()[1])
    except OSError:  # it ended meanwhile
        return None


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
