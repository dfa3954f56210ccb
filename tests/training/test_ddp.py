"""Two processes that train as one, on the CPU with gloo."""

import os
import signal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from conftest import make_recipe
from lesionwise.evaluation.predictions import read_predictions
from lesionwise.run_folder import RunFolder
from lesionwise.split.split_file import read_split
from two_processes import IN_FP32, PLAIN, STOPS_IN_EPOCH_3, arguments, finish, start

# Without batch norm and dropout, and with all that is drawn by chance.
EXACT = make_recipe(
    model="seed-mlp", drop_rate=0.0, epochs=2, optimizer="adamw", schedule="one_cycle", ema=0.9,
    rotation=30, flip=True, brightness=0.1, mixup=0.2, cutmix=0.5, class_weight=0.5, sampling=0.3,
)  # fmt: skip
# With both.
COARSE = make_recipe(model="small", drop_rate=0.2, epochs=4, schedule="one_cycle", ema=0.9, freeze=1)
SLURM = {
    "SLURM_JOB_ID": "4711", "SLURM_JOB_NAME": "train", "SLURM_NTASKS": "2", "SLURM_NTASKS_PER_NODE": "1",
    "SLURM_NNODES": "2", "SLURM_NODELIST": "127.0.0.1", "SLURM_LOCALID": "0",
}  # fmt: skip


def state(run: RunFolder, name: str = "last.ckpt") -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = torch.load(run.checkpoints / name, weights_only=True)["state_dict"]
    return found


def free_port() -> str:
    return str(20_000 + os.getpid() % 10_000)


@pytest.fixture(scope="module")
def exact(drawn_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> list[RunFolder]:
    """The same recipe trained by one process and by two that Lightning starts."""
    folder = tmp_path_factory.mktemp("exact")
    runs = [RunFolder(folder / name) for name in ("one", "two")]
    for run, devices in zip(runs, "12", strict=True):
        more = ["--devices", devices, "--set", "logger=csv"]
        code, said = finish(start(IN_FP32, arguments(EXACT, drawn_folder, run.path, *more), folder))
        assert code == 0, said
        assert said.count("epoch 1  loss") == 1
        assert "arning" not in said
    return runs


def test_two_processes_train_to_the_weights_and_losses_of_one(exact: list[RunFolder]) -> None:
    one, two = exact
    for name in ("last.ckpt", "best.ckpt"):
        for key, value in state(one, name).items():
            torch.testing.assert_close(value, state(two, name)[key], rtol=0, atol=2e-5)
    columns = ["epoch", "train_loss", "train_accuracy", "val_loss", "val_balanced_accuracy", "lr"]
    first, second = (pd.read_csv(run.history)[columns] for run in exact)
    pd.testing.assert_frame_equal(first, second, rtol=0, atol=2e-5)


def test_two_processes_predict_no_image_twice_and_leave_none_out(exact: list[RunFolder]) -> None:
    one, two = (read_predictions(run.predictions("val")) for run in exact)
    val = sorted(read_split(exact[1].split).image_ids("val"))
    assert len(val) % 2 == 1  # of which two processes cannot read the same number
    assert sorted(two.image_id) == val
    np.testing.assert_allclose(one.y_prob, two.y_prob, atol=1e-4)


def test_only_the_first_process_writes(exact: list[RunFolder]) -> None:
    one, two = ({path.name for path in run.path.rglob("*")} for run in exact)
    assert one == two
    assert {"metrics.csv", "history.csv"} <= two
    logged = pd.read_csv(exact[1].path / "csv" / "version_0" / "metrics.csv")
    assert logged["epoch"].is_unique


@pytest.fixture(scope="module")
def unbroken(drawn_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A training with batch norm and dropout in two processes that torchrun started."""
    folder = tmp_path_factory.mktemp("unbroken")
    run = RunFolder(folder / "run")
    (folder / "train.py").write_text(PLAIN)
    torchrun = (
        "import sys\nfrom torch.distributed.run import main\n"
        "if __name__ == '__main__':\n    sys.exit(main(sys.argv[1:]))\n"
    )
    words = arguments(COARSE, drawn_folder, run.path, "--devices", "2")
    launch = ["--nproc-per-node=2", f"--master-port={free_port()}", str(folder / "train.py")]
    code, said = finish(start(torchrun, [*launch, *words], folder))
    assert code == 0, said
    return run


def test_a_killed_training_of_two_goes_on_to_the_weights_of_the_unbroken_one(
    unbroken: RunFolder, drawn_folder: Path, tmp_path: Path
) -> None:
    """Begun by Lightning on one machine, continued by Slurm on two, compared with torchrun's."""
    run = RunFolder(tmp_path / "run")
    words = arguments(COARSE, drawn_folder, run.path)
    code, said = finish(start(STOPS_IN_EPOCH_3, [*words, "--devices", "2"], tmp_path))
    assert code == -signal.SIGKILL
    assert "Traceback" not in said  # the other process ends without a word
    assert not run.predictions("val").exists()
    words += ["--nodes", "2", "--resume"]
    nodes = [
        start(
            PLAIN,
            [*words, "--nodes", "2", "--resume"],
            tmp_path,
            **SLURM,
            SLURM_PROCID=rank,
            SLURM_NODEID=rank,
        )
        for rank in "01"
    ]
    for code, said in map(finish, nodes):
        assert code == 0, said
    for name in ("last.ckpt", "best.ckpt"):
        ours, theirs = state(run, name), state(unbroken, name)
        assert all(torch.equal(ours[key], theirs[key]) for key in theirs)
    assert run.predictions("val").read_bytes() == unbroken.predictions("val").read_bytes()
    assert pd.read_csv(run.history)["epoch"].tolist() == [0, 1, 2, 3]


def test_batches_that_cannot_be_shared_evenly_are_refused_once(drawn_folder: Path, tmp_path: Path) -> None:
    words = arguments(make_recipe(batch_size=15), drawn_folder, tmp_path / "run", "--devices", "2")
    code, said = finish(start(PLAIN, words, tmp_path))
    assert code == 2
    assert said.count("batch_size = 15") == 1
    assert "Set it to 14 or 16" in said
    assert not (tmp_path / "run").exists()


def test_what_only_the_first_process_finds_out_ends_all(tmp_path: Path) -> None:
    words = arguments(make_recipe(), tmp_path / "nowhere", tmp_path / "run", "--devices", "2")
    code, said = finish(start(PLAIN, words, tmp_path))
    assert code == 2
    assert said.count("nowhere") == 1
    assert "Traceback" not in said
