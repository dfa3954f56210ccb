import re
import runpy
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from conftest import ROOT, Lesionwise
from lesionwise.cli.app import app

COMMANDS: list[tuple[str, float]] = runpy.run_path(str(ROOT / "benchmarks" / "speed" / "startup.py"))[
    "COMMANDS"
]
HEAVY = {"lightning", "matplotlib", "onnx", "openvino", "pandas", "scipy", "sklearn", "timm", "torch"}
TYPOS = [command for command, _ in COMMANDS if command != "--help"]


def test_neither_help_nor_a_typo_imports_what_is_heavy(tmp_path: Path) -> None:
    program = (
        "import sys\nfrom lesionwise.cli import main\n"
        f"for command in {[command for command, _ in COMMANDS]}:\n"
        "    sys.argv = ['lesionwise', *command.split()]\n"
        "    try:\n        main()\n"
        f"    except SystemExit:\n        print('HEAVY', command, sorted({HEAVY} & set(sys.modules)))\n"
    )
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    shown = [line for line in done.stdout.splitlines() if line.startswith("HEAVY ")]
    assert len(shown) == len(COMMANDS)
    assert not [line for line in shown if not line.endswith("[]")]


def test_a_service_that_answers_builds_no_recipe() -> None:
    program = (
        "import sys, lesionwise.predict.files, lesionwise.serve.app\n"
        "from lesionwise import load_model\nload_model()\n"
        "assert 'lesionwise.serve.service' in sys.modules and 'lesionwise.recipe' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize("command", TYPOS)
def test_a_typo_is_wrong_use_and_its_message_names_it(command: str, lesionwise: Lesionwise) -> None:
    refused = lesionwise(*command.split())
    assert refused.code == 2
    names = ("nowhere", "smal", "epoch", "bets", "trian", "export")
    assert any(name in refused.err for name in names if name in command)


@pytest.mark.parametrize(
    ("command", "meant"),
    [
        ("train smal --data .", "small"),
        ("recipes smal", "small"),
        ("run smal", "small"),
        ("train small --data . --set epoch=3", "epochs"),
        ("train small --data . --set model=smal", "small"),
        ("bundle show bets", "best"),
        ("serve --model large", "larger"),
        ("predict . --model bets --out answers.csv", "best"),
        ("data split dada", "data"),
        ("train small --data dada", "data"),
        ("calibrate runs/smal-1", "runs/small-1"),
    ],
)
def test_the_name_that_was_meant_is_offered(command: str, meant: str, lesionwise: Lesionwise) -> None:
    Path("data").mkdir()
    Path("runs/small-1").mkdir(parents=True)
    refused = lesionwise(*command.split())
    assert refused.code == 2
    assert f'Did you mean "{meant}"?' in refused.err


WRITTEN = {"--out", "--errors", "--heatmaps"}


def _options(command: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    for sub, inner in getattr(command, "commands", {}).items():
        yield from _options(inner, f"{name} {sub}".strip())
    if not hasattr(command, "commands"):
        yield from ((f"{name} {option.opts[0]}", option) for option in command.params)


def test_every_option_that_names_a_file_to_read_is_verified_before_the_work() -> None:
    named = [
        (name, option)
        for name, option in _options(typer.main.get_command(app))
        if option.opts[0].startswith("--") and option.metavar in {"FILE", "DIR", "CSV"}
    ]
    assert len(named) > 40
    read = [(name, option) for name, option in named if option.opts[0] not in WRITTEN]
    folders = [
        (name, option) for name, option in named if (option.opts[0], option.metavar) == ("--out", "DIR")
    ]
    assert [name for name, option in (*read, *folders) if option.callback is None] == []


@pytest.mark.parametrize(
    "command",
    [
        "run --out used",
        "run --out file",
        "train small --data data --out used",
        "train small --data data --out file/run",
        "cross-validate small --data data --out file",
        "leakage small --data data --out file",
        "data explore data --out used",
        "data explore data --out file",
        "data audit data --out file",
        "data split data --out used",
        "data merge data data --out file",
    ],
)
def test_a_place_that_cannot_be_written_is_refused_before_the_work(
    command: str, lesionwise: Lesionwise, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("data").mkdir()  # which would be refused as no data folder if it was read
    Path("used").mkdir()
    Path("used/mine.txt").touch()
    Path("file").touch()
    monkeypatch.setattr("lesionwise.data.phantom.write_phantom", None)
    refused = lesionwise(*command.split())
    assert refused.code == 2
    assert re.search(r"(used|file): (is not empty|expected (a folder|--out))", refused.err)


def test_a_cache_that_cannot_be_written_names_its_variable(
    drawn_folder: Path, monkeypatch: pytest.MonkeyPatch, lesionwise: Lesionwise
) -> None:
    Path("file").write_text("no folder", encoding="utf-8")
    monkeypatch.setenv("LESIONWISE_CACHE", "file/cache")
    refused = lesionwise("data", "split", drawn_folder, "--quiet")
    assert refused.code == 2
    assert "Set LESIONWISE_CACHE to a folder that can be written" in refused.err
