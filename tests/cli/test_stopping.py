import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lesionwise import cli
from lesionwise.files import blamed_on


def stopped_after(seconds: float, *arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a command, and press Ctrl-C after some seconds."""
    code = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler);"  # if it was ignored
        "import sys; from lesionwise.cli import main; print('started', flush=True); main()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        cwd=folder,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout
    process.stdout.readline()
    time.sleep(seconds)
    process.send_signal(signal.SIGINT)
    out, error = process.communicate(timeout=120)
    return subprocess.CompletedProcess(arguments, process.returncode, out, error)


@pytest.mark.parametrize("seconds", [0.0, 0.1, 0.3, 1.0])
def test_ctrl_c_in_the_first_second_names_the_folder_and_the_command(
    seconds: float, drawn_folder: Path, tmp_path: Path
) -> None:
    ended = stopped_after(
        seconds, "train", "small", "--data", str(drawn_folder), "--out", "my run", folder=tmp_path
    )
    assert ended.returncode == 130, ended.stderr
    assert "Traceback" not in ended.stderr
    assert f"To go on: lesionwise train small --data {drawn_folder} --out 'my run' --resume" in ended.stderr


def test_a_full_disk_is_named_with_the_disk_and_the_way_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fill(**_: object) -> None:
        with blamed_on(tmp_path / "p.csv"):
            raise OSError(28, os.strerror(28))

    monkeypatch.setattr("lesionwise.cli.app.app", fill)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert f"{tmp_path / 'p.csv'}: the disk at /" in said
    assert "Make room and give the same command again" in said
