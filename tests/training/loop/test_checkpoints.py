import logging
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from lesionwise.errors import RunError
from lesionwise.run_folder import RunFolder
from lesionwise.training.loop.checkpoints import WholeCheckpoints, newest_whole, read_checkpoint


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def empty(path: Path) -> None:
    os.truncate(path, 0)


DAMAGES = (flip_a_bit, cut, empty)


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    """A run with checkpoints of two epochs, 1 and 2."""
    run = RunFolder(tmp_path / "run")
    run.checkpoints.mkdir(parents=True)
    for epoch in (1, 2):
        WholeCheckpoints(run).save_checkpoint({"weights": torch.full((9000,), epoch)}, run.last)
    return run


def epoch_of(path: Path | None) -> int:
    assert path is not None
    return int(read_checkpoint(path)["weights"][0])


def test_the_last_checkpoint_and_the_one_before_are_kept(run: RunFolder) -> None:
    assert (epoch_of(run.last), epoch_of(run.before_last)) == (2, 1)
    assert newest_whole(run) == run.last
    assert newest_whole(RunFolder(run.path / "another")) is None


def test_the_one_before_is_kept_where_the_run_is_named_by_a_relative_path(run: RunFolder) -> None:
    relative = RunFolder(Path(os.path.relpath(run.path)))
    WholeCheckpoints(relative).save_checkpoint({"weights": torch.full((9000,), 3)}, run.last.resolve())
    assert (epoch_of(run.last), epoch_of(run.before_last)) == (3, 2)


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_checkpoint_is_named_and_the_one_before_is_used(
    damage: Callable[[Path], None], run: RunFolder, caplog: pytest.LogCaptureFixture
) -> None:
    damage(run.last)
    with pytest.raises(RunError, match=r"last\.ckpt: is damaged"):
        read_checkpoint(run.last)
    with caplog.at_level(logging.WARNING, "lesionwise"):
        assert epoch_of(newest_whole(run)) == 1
    assert f"{run.last}: is damaged" in caplog.text
    damage(run.before_last)
    with pytest.raises(RunError, match=r"last\.ckpt.*before-last\.ckpt: damaged, so no checkpoint is left"):
        newest_whole(run)


def test_a_checkpoint_that_cannot_be_written_leaves_both_and_nothing_else(run: RunFolder) -> None:
    with pytest.raises((AttributeError, TypeError)):
        WholeCheckpoints(run).save_checkpoint({"a": torch.zeros(9), "b": lambda: 0}, run.last)
    assert {path.name for path in run.checkpoints.iterdir()} == {"last.ckpt", "before-last.ckpt"}
    assert epoch_of(newest_whole(run)) == 2


def test_a_checkpoint_is_written_beside_its_target_and_says_nothing_of_its_name(
    run: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))
    run.last.replace(run.best)
    WholeCheckpoints(run).save_checkpoint({"weights": torch.full((9000,), 2)}, run.last)
    assert run.last.read_bytes() == run.best.read_bytes()


def test_a_missing_checkpoint_is_named(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"has no best\.ckpt\. Train it first"):
        read_checkpoint(RunFolder(tmp_path / "run").best)
