import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from lightning.fabric import Fabric

from conftest import make_recipe
from lesionwise.data.cache import open_cache
from lesionwise.data.dataset import Dataset
from lesionwise.errors import RunError
from lesionwise.execution import Execution
from lesionwise.training.loop.processes import Processes, is_first_process, joined_processes, verify_share
from lesionwise.training.run import train


def test_one_process_alone_does_all_itself() -> None:
    with joined_processes("cpu") as processes:
        assert (processes.count, processes.is_first, processes.first(lambda: 3)) == (1, True, 3)
        assert "strategy" not in processes.trainer_options(make_recipe())
    assert is_first_process()


@pytest.mark.parametrize(
    ("keys", "processes", "said"),
    [
        ({"batch_size": 10}, 4, r"batch_size = 10 .* 4 processes cannot share it evenly\. Set it to 8 or 12"),
        ({"batch_size": 3}, 4, r"Set it to 4,"),
        (
            {"batch_size": 6, "mixup": 0.2},
            2,
            r"mix images in pairs, cannot share it evenly\. Set it to 4 or 8",
        ),
        (
            {"batch_size": 20, "accumulate": 4},
            2,
            r"cannot share it evenly in 4 parts \(accumulate\)\. Set it to 16 or 24,",
        ),
        ({"probe": "logistic", "weights": "published", "batch_size": 64}, 2, "probe fits one layer"),
    ],
)
def test_what_cannot_be_shared_is_refused_with_what_could_be(
    keys: dict[str, object], processes: int, said: str
) -> None:
    with pytest.raises(RunError, match=said):
        verify_share(make_recipe(**keys), processes)
    verify_share(make_recipe(**keys), 1)


def test_an_uneven_batch_is_refused_before_anything_is_written(drawn_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="cannot share it evenly"):
        train(make_recipe(batch_size=15), drawn_folder, out=tmp_path / "run", execution=Execution(devices=2))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("device", "devices", "said"),
    [("mps", 2, "mps is one device"), ("cuda", 99, "Expected --devices 99 but")],
)
def test_devices_that_are_not_there_are_refused(device: str, devices: int, said: str) -> None:
    with pytest.raises(RunError, match=said), joined_processes(device, devices=devices):
        pass


@pytest.mark.parametrize(
    ("environment", "devices", "nodes", "said"),
    [
        (
            {"TORCHELASTIC_RUN_ID": "1", "WORLD_SIZE": "4"},
            2,
            1,
            "torchrun started 4 processes, but --devices 2",
        ),
        ({"TORCHELASTIC_RUN_ID": "1", "WORLD_SIZE": "4"}, 1, 1, "--devices 1 and --nodes 1 need 1"),
        ({"SLURM_NTASKS": "1", "SLURM_JOB_NAME": "train"}, 4, 2, "Slurm started 1 process, but"),
        (
            {"SLURM_NTASKS": "4", "SLURM_JOB_NAME": "train", "SLURM_NTASKS_PER_NODE": "4"},
            2,
            2,
            "ntasks-per-node=4",
        ),
    ],
)
def test_other_processes_than_were_asked_for_are_refused(
    environment: dict[str, str], devices: int, nodes: int, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(RunError, match=said), joined_processes("cpu", devices=devices, nodes=nodes):
        pass


def test_another_process_is_told_where_the_memory_map_lies_and_not_what_it_holds(
    drawn: Dataset, tmp_path: Path
) -> None:
    cache = open_cache(drawn, (24, 32), execution=Execution(cache_root=tmp_path / "cache"))
    sent = pickle.dumps(cache)
    assert len(sent) < 2000 < cache.pixels.nbytes
    opened = pickle.loads(sent)  # noqa: S301 (our own)
    assert isinstance(opened.pixels, np.memmap)
    assert np.array_equal(opened.pixels, cache.pixels)


def test_the_frozen_features_of_several_processes_have_no_gradient_to_wait_for() -> None:
    fabric = Fabric(accelerator="cpu", devices=2, strategy="ddp")
    threads = torch.get_num_threads()
    for freeze in (0, 1, "all"):
        options = Processes(0, 2, 1, fabric).trainer_options(make_recipe(freeze=freeze, weights="published"))
        assert options["strategy"]._ddp_kwargs["find_unused_parameters"] == bool(freeze)  # noqa: SLF001
        assert options["use_distributed_sampler"] is False
    assert torch.get_num_threads() == threads
