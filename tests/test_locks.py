"""Two at once: every command that writes a folder or a file keeps others from it."""

import os
import pickle
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from typer.testing import CliRunner

from lesionwise import files
from lesionwise.cli.app import app
from lesionwise.errors import BusyError, RunError
from lesionwise.files import (
    atomic_folder,
    file_sha256,
    is_used,
    lock_path,
    read_json,
    sole_writer,
    write_json,
    write_text,
)
from lesionwise.recipe import load_recipe
from lesionwise.run_folder import RunFolder, folders_of
from lesionwise.split.split_file import COLUMNS

ONE, OTHER = 4711, 4712  # ids of users that need not exist
needs_root = pytest.mark.skipif(
    sys.platform == "win32" or os.geteuid() != 0, reason="only root can act as other users"
)


def make_run(path: Path) -> RunFolder:
    run = RunFolder(path)
    write_text(run.config, load_recipe("seed-mlp").to_toml())
    write_text(run.split, f"{','.join(COLUMNS)}\n")
    write_json(run.split_facts, {"fingerprint": file_sha256(run.split)})
    write_text(run.predictions("val"), "image_id\n")
    return run


@pytest.mark.parametrize(
    ("command", "held"),
    [
        ("cross-validate seed-mlp --data DATA --out OUT", "OUT"),
        ("leakage seed-mlp --data DATA --out OUT", "OUT"),
        ("train seed-mlp --data DATA --out OUT", "OUT"),
        ("train seed-mlp --data DATA --out OUT --seeds 2", "OUT"),
        ("bundle export RUN --out OUT", "OUT"),
        ("bundle export RUN --out OUT", "RUN"),
        ("bundle export BOTH --out OUT", "RUN"),
        ("ensemble RUN SECOND --out OUT", "OUT"),
        ("ensemble RUN SECOND --out OUT", "SECOND"),
        ("evaluate RUN", "RUN"),
        ("evaluate RUN --set tta=4 --out OUT", "OUT"),
        ("evaluate BOTH --final", "SECOND"),
        ("calibrate BOTH", "BOTH"),
        ("calibrate BOTH", "RUN"),
        ("robustness BOTH", "SECOND"),
        ("stability BOTH", "SECOND"),
        ("explain RUN", "RUN"),
        ("data phantom OUT --lesions 1", "OUT"),
    ],
)
def test_what_another_process_writes_is_refused(command: str, held: str, tmp_path: Path) -> None:
    words = {name: tmp_path / name.lower() for name in ("DATA", "OUT", "RUN", "SECOND", "BOTH")}
    words["DATA"].mkdir()
    runs = [make_run(words[name]) for name in ("RUN", "SECOND")]
    both = make_run(words["BOTH"])
    write_json(both.ensemble, {"members": [{"run": str(run.path)} for run in runs], "parts": ["val"]})
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with sole_writer(words[held]):
        ended = CliRunner().invoke(app, [str(words.get(word, word)) for word in command.split()])
    assert isinstance(ended.exception, BusyError), ended.exception
    assert f"{words[held]}: another process is writing it" in str(ended.exception)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_the_second_half_of_run_is_kept_from_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make_run(tmp_path / "run")
    monkeypatch.setattr("lesionwise.cli.train.train_shown", lambda *_, **__: run)
    (tmp_path / "data").mkdir()
    command = ["run", "seed-mlp", "--data", str(tmp_path / "data"), "--out", str(run.path), "--resume"]
    with sole_writer(run.path):
        ended = CliRunner().invoke(app, command)
    assert isinstance(ended.exception, BusyError)


def test_a_lock_leaves_nothing_behind_and_a_killed_one_holds_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    with sole_writer(folder):
        assert {path.name for path in tmp_path.rglob("*")} == {"run", ".run.lock", ".lock"}
        assert not is_used(folder)
    assert [path.name for path in tmp_path.rglob("*")] == ["run"]
    for path in (lock_path(folder), folder / ".lock"):
        path.touch()  # what a killed process leaves
    with sole_writer(folder):
        pass


def test_members_of_members_are_kept_once_and_those_that_are_gone_not_at_all(tmp_path: Path) -> None:
    first, second = make_run(tmp_path / "first"), make_run(tmp_path / "second")
    inner, outer = make_run(tmp_path / "inner"), make_run(tmp_path / "outer")
    write_json(inner.ensemble, {"members": [{"run": str(run.path)} for run in (first, second)]})
    gone = RunFolder(tmp_path / "gone" / "run")
    write_json(outer.ensemble, {"members": [{"run": str(run.path)} for run in (inner, first, gone)]})
    assert folders_of(outer) == [run.path for run in (outer, inner, first, second)]
    with sole_writer(*folders_of(outer)), pytest.raises(BusyError, match="second: another process"):
        hold(second.path)
    assert not gone.path.parent.exists()


def test_a_folder_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    out = tmp_path / "made"
    (tmp_path / ".made.part").mkdir()  # what a killed process leaves
    (tmp_path / ".made.part" / "old").touch()

    def stop_half_way() -> None:
        with atomic_folder(out) as growing:
            (growing / "half").touch()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stop_half_way()
    assert not list(tmp_path.iterdir())
    out.mkdir()
    with atomic_folder(out) as growing:
        write_json(growing / "whole.json", 1)
    assert [path.name for path in tmp_path.rglob("*")] == ["made", "whole.json"]
    with pytest.raises(RunError, match=r"made: is not empty\. Name a folder"), atomic_folder(out):
        pass
    assert read_json(out / "whole.json") == 1


def as_user(user: int, what: Callable[[], object], *, umask: int = 0o077) -> BaseException | None:
    """Do something as another user in a process of its own, and return the error that it ended with."""
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of forks beside threads, from Python 3.12 on
        child = os.fork()
    if not child:
        try:
            os.setgid(user)
            os.setuid(user)
            os.umask(umask)
            what()
            found = None
        except BaseException as error:  # noqa: BLE001 (it is handed on)
            found = error
        os.write(writing, pickle.dumps(found))
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as file:
        found = pickle.loads(file.read())  # noqa: S301 (our own)
    os.waitpid(child, 0)
    assert found is None or isinstance(found, BaseException)
    return found


def hold(target: Path, inside: Callable[[], object] = nullcontext) -> None:
    with sole_writer(target):
        inside()


@pytest.fixture
def shared() -> Iterator[Path]:
    """Yield a folder that everybody may write; those of pytest are closed to other users."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "shared").mkdir()
        (folder / "shared").chmod(0o777)
        yield folder / "shared"


@needs_root
def test_two_users_of_one_folder_are_kept_from_each_other(shared: Path) -> None:
    errors: list[BaseException | None] = []

    hold(shared / "run", lambda: errors.append(as_user(OTHER, lambda: hold(shared / "run"))))
    assert isinstance(errors[0], BusyError)
    assert "another process is writing it" in str(errors[0])
    assert as_user(ONE, lambda: hold(shared / "run")) is None
    assert as_user(OTHER, lambda: hold(shared / "run")) is None


@needs_root
def test_a_lock_that_a_killed_process_of_another_user_left_holds_nothing(shared: Path) -> None:
    def leave() -> None:
        setattr(files, "_let_go", lambda *_: None)  # noqa: B010 (as a killed process)
        hold(shared / "run")

    assert as_user(ONE, leave) is None
    assert lock_path(shared / "run").stat().st_uid == ONE
    assert as_user(OTHER, lambda: hold(shared / "run")) is None


@needs_root
def test_a_lock_that_another_user_alone_may_open_is_named(shared: Path) -> None:
    lock = lock_path(shared / "run")
    lock.touch(0o600)
    error = as_user(OTHER, lambda: hold(shared / "run"))
    assert isinstance(error, BusyError)
    assert f"the lock {lock} cannot be opened" in str(error)


@needs_root
def test_a_folder_in_a_place_that_cannot_be_written_is_locked_inside(shared: Path) -> None:
    run = shared / "run"
    run.mkdir()
    os.chown(run, ONE, ONE)
    shared.chmod(0o755)
    errors: list[BaseException | None] = []
    hold(run, lambda: errors.append(as_user(ONE, lambda: hold(run))))  # root can lock beside it as well
    assert isinstance(errors[0], BusyError)
    assert as_user(ONE, lambda: hold(run)) is None
    assert not list(run.iterdir())
    run.chmod(0o555)  # to be read alone: nobody but the owner could write, who cannot make a lock either
    assert as_user(OTHER, lambda: hold(run)) is None
