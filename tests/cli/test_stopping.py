import os
import shlex
import signal
import subprocess
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from conftest import WriteKaggle, make_recipe
from lesionwise import cli
from lesionwise.cli import console
from lesionwise.export.run import export_run
from lesionwise.files import blamed_on
from lesionwise.training.run import train


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


STOPS = [
    ("train seed-mlp --data DATA KEYS --seeds 2", "lesionwise.training.run.learn_from_cal", 2),
    ("train seed-mlp --data DATA KEYS", "lesionwise.training.run.learn_from_cal", 1),
    ("train seed-mlp --data DATA KEYS --out new", "lesionwise.training.run.prepare", 1),
    ("run seed-mlp --data DATA KEYS", "lesionwise.report.html.write_report", 1),
    (
        "cross-validate seed-mlp --data MANY KEYS --folds 1,",
        "lesionwise.experiments.crossval.evaluate_part",
        1,
    ),
    ("evaluate RUN --set tta=4", "lesionwise.experiments.reevaluate.learn_from_cal", 1),
    ("evaluate RUN --set tta=4 --out new", "lesionwise.experiments.reevaluate.evaluate_part", 1),
    ("ensemble RUN OTHER --out new", "lesionwise.evaluation.runs.scores.evaluate_part", 1),
    ("bundle export RUN --out new.onnx", "lesionwise.export.run.write_bundle", 1),
    ("predict DATA --model MODEL --out new.csv", "lesionwise.predict.files.table_rows", 1),
    ("predict DATA --model MODEL", "lesionwise.cli.answers.describe_counts", 1),
    ("predict DATA --model MODEL --out new.parquet", "lesionwise.predict.parquet.write_parquet", 1),
    ("data phantom new --lesions 1", "lesionwise.data.phantom.writer._write_pictures", 1),
    ("data split DATA --out new.csv", "lesionwise.split.split_file.write_split", 1),
]
KEYS = "--set epochs=1 --set image_size=[16,24] --set batch_size=16"


@pytest.fixture(scope="module")
def places(
    drawn_folder: Path, write_kaggle: WriteKaggle, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, str]:
    """Paths of a trained run, another one on its split, a model, the data, and data with many lesions."""
    folder = tmp_path_factory.mktemp("trained")
    recipe = make_recipe(model="seed-mlp", epochs=1, image_size=(16, 24))
    run = train(recipe, drawn_folder, out=folder / "run")
    train(recipe, drawn_folder, out=folder / "other", split=run.split, seed=1)
    export_run(run, folder / "model.onnx")
    paths = {"RUN": run.path, "OTHER": folder / "other", "MODEL": folder / "model.onnx", "DATA": drawn_folder}
    paths["MANY"] = write_kaggle(folder / "many", lesions=20)
    return {name: str(path) for name, path in paths.items()}


@pytest.mark.parametrize(("command", "place", "call"), STOPS, ids=[command for command, *_ in STOPS])
def test_the_command_that_ctrl_c_names_goes_on_to_the_end(
    command: str,
    place: str,
    call: int,
    places: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if "parquet" in command:
        pytest.importorskip("pyarrow")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("lesionwise.cli.signal.signal", lambda *_: None)
    monkeypatch.setattr(console, "_folder", None)
    words = shlex.split(" ".join(places.get(word, word) for word in command.replace("KEYS", KEYS).split()))
    module, _, name = place.rpartition(".")
    real, calls = getattr(import_module(module), name), []

    def stop(*arguments: Any, **options: Any) -> Any:
        calls.append(name)
        if len(calls) == call:
            raise KeyboardInterrupt
        return real(*arguments, **options)

    def run(words: list[str]) -> tuple[object, str]:
        monkeypatch.setattr(sys, "argv", ["lesionwise", *words])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return ended.value.code, capsys.readouterr().err

    with monkeypatch.context() as patched:
        patched.setattr(place, stop)
        code, said = run([*words, "--quiet"] if words[:2] != ["data", "phantom"] else words)
    assert code == 130, said
    named = shlex.split(said.partition("To go on: lesionwise ")[2])
    code, said = run(named)
    assert code == 0, said


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
    assert "Make room and run the same command again" in said
