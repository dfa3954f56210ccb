import hashlib
import shlex
from contextlib import suppress
from pathlib import Path

import pytest
from typer.testing import CliRunner

from lesionwise.cli.app import app
from lesionwise.errors import RunError, SplitError
from lesionwise.files import atomic_path, file_sha256, read_json, write_json, write_text
from lesionwise.run_folder import (
    RunFolder,
    claim_own_folder,
    claim_run_folder,
    next_run_path,
    open_run_folder,
)
from lesionwise.run_record import describe_environment, timed_stage


def test_a_block_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    target.write_text("old")
    with suppress(RuntimeError), atomic_path(target) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_the_next_run_takes_the_first_free_number(tmp_path: Path) -> None:
    for number in (1, 2):
        assert next_run_path(tmp_path, "small") == tmp_path / f"small-{number}"
        (tmp_path / f"small-{number}").mkdir()
    assert next_run_path(tmp_path, "timm:org/net") == tmp_path / "timm-org-net-1"


def test_a_file_in_place_of_a_run_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("")
    with pytest.raises(RunError, match="expected a folder but found a file"):
        claim_run_folder(tmp_path / "run")


def test_a_claimed_folder_is_not_made_until_a_stage_writes(tmp_path: Path) -> None:
    claim_run_folder(tmp_path / "run")
    assert not list(tmp_path.iterdir())


def test_a_folder_of_somebody_elses_is_neither_used_nor_resumed(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("")
    with pytest.raises(RunError, match="is not empty"):
        claim_run_folder(tmp_path)
    with pytest.raises(RunError, match="expected a run folder"):
        claim_run_folder(tmp_path, resume=True)


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"found no config\.toml"):
        open_run_folder(tmp_path)


def test_json_that_is_missing_or_damaged_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="cannot be read"):
        read_json(tmp_path / "a.json")
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(RunError, match="is not valid JSON"):
        read_json(tmp_path / "a.json")


def test_not_a_number_is_never_written_as_json(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "a.json", float("nan"))
    assert not list(tmp_path.iterdir())


def test_stages_add_their_cost(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    with timed_stage(run, "first") as stage:
        stage["images"] = 10
    with timed_stage(run, "second"):
        pass
    timing = read_json(run.timing)
    assert list(timing) == ["first", "second"]
    assert timing["first"]["images_per_second"] > 0
    assert timing["second"]["images_per_second"] is None


def test_the_hash_of_a_file_is_sha256(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x" * 3_000_000)
    assert file_sha256(tmp_path / "a") == hashlib.sha256(b"x" * 3_000_000).hexdigest()


def test_what_a_killed_writer_left_half_written_does_not_make_a_folder_used(tmp_path: Path) -> None:
    (tmp_path / ".config.toml.4711.part").write_text("mod")
    assert claim_run_folder(tmp_path).path == tmp_path
    assert claim_run_folder(tmp_path, resume=True).path == tmp_path
    claim_own_folder(tmp_path / "ensemble.json", what="ensemble")


def test_a_command_that_continues_by_itself_leaves_every_other_folder_alone(tmp_path: Path) -> None:
    record = tmp_path / "run" / "cross-validation.json"
    claim_own_folder(record, what="cross-validation")
    write_json(RunFolder(record.parent).config, "a finished run")
    with pytest.raises(RunError, match="is not empty and holds no cross-validation"):
        claim_own_folder(record, what="cross-validation")
    write_json(record, {})
    claim_own_folder(record, what="cross-validation")


@pytest.mark.parametrize(
    ("command", "record", "said"),
    [
        ("evaluate RUN --final", "cross-validation.json", "this is one of cross-validation. Its folds"),
        ("evaluate RUN", "leakage.json", "this is one of leakage measurement. Its page is leakage.html"),
        ("report RUN", "leakage.json", "this is one of leakage measurement. Its page is leakage.html"),
        ("calibrate RUN", "cross-validation.json", "this is one of cross-validation"),
        ("explain RUN", "ensemble.json", "this is one of ensemble. Name one of the runs"),
        ("report RUN --card", "cross-validation.json", "this is one of cross-validation. Its folds"),
    ],
)
def test_a_command_says_what_kind_of_folder_it_got(
    command: str, record: str, said: str, tmp_path: Path
) -> None:
    write_json(RunFolder(tmp_path / "it").config, "")
    write_json(tmp_path / "it" / record, {})
    ended = CliRunner().invoke(app, command.replace("RUN", str(tmp_path / "it")).split())
    assert isinstance(ended.exception, RunError)
    assert said in str(ended.exception)


SPLIT = "image_id,group,part,fold\n" + "".join(f"i{n},g{n},train,1\n" for n in range(4))


@pytest.mark.parametrize(
    "command",
    [
        "train small --data DATA --out RUN --resume",
        "evaluate RUN",
        "evaluate RUN --final",
        "calibrate RUN",
        "report RUN",
        "explain RUN",
        "robustness RUN",
        "compare RUN RUN",
        "ensemble RUN RUN --out OTHER",
        "bundle export RUN --out OTHER",
    ],
)
@pytest.mark.parametrize("edited", ["split.csv", "split.json"])
def test_no_command_goes_on_with_a_run_whose_split_was_edited(
    command: str, edited: str, tmp_path: Path
) -> None:
    run = RunFolder(tmp_path / "run")
    write_text(run.config, 'model = "small"\n')
    write_text(run.split, SPLIT)
    write_json(run.split_facts, {"fingerprint": file_sha256(run.split)})
    write_json(run.scores, {"parts": {}})  # evaluated runs are read in other ways
    open_run_folder(run.path)
    if edited == "split.csv":
        run.split.write_text(SPLIT.replace("i3,g3,train", "i3,g3,test"))
    else:
        write_json(run.split_facts, {"fingerprint": "0" * 64})
    words = {"RUN": str(run.path), "OTHER": str(tmp_path / "other"), "DATA": str(tmp_path)}
    ended = CliRunner().invoke(app, [words.get(word, word) for word in command.split()])
    assert isinstance(ended.exception, SplitError)
    assert "was edited after it was made" in str(ended.exception)


def test_the_command_is_recorded_as_a_shell_takes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    typed = ["train", "best", "--data", "my images", "--set", 'model_args={pad_type="same"}']
    monkeypatch.setattr("sys.argv", ["/usr/bin/lesionwise", *typed])
    assert shlex.split(describe_environment()["command"]) == ["lesionwise", *typed]
