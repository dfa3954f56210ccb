import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from conftest import ROOT
from lesionwise.errors import EXTRA_OF_MODULE

_MODULES = {
    "faiss-cpu": "faiss",
    "scikit-learn": "sklearn",
    "opencv-python-headless": "cv2",
    "mlflow-skinny": "mlflow",
    "pillow-heif": "pillow_heif",
}  # where the two names differ


def test_each_dependency_of_an_extra_is_named_when_it_is_missing() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    expected: dict[str, str] = {}
    for extra in extras.keys() - {"dev"}:
        names = [re.split(r"[>=<\[]", line)[0] for line in extras[extra]]
        expected |= {_MODULES.get(name, name): extra for name in names if name != "lesionwise"}
    assert {**expected, "h5py": "keras"} == EXTRA_OF_MODULE  # with Keras comes h5py


@pytest.mark.parametrize(
    ("arguments", "missing", "extra"),
    [
        (["run"], ("pandas", "torch"), "train"),
        (["train", "small", "--data", "."], ("pandas", "torch"), "train"),
        (["cross-validate", "small", "--data", "."], ("pandas", "torch"), "train"),
        (["leakage", "small", "--data", "."], ("pandas", "torch"), "train"),
        (["data", "explore", ".", "--recipe", "probe"], ("pandas", "torch"), "train"),
        (["data", "explore", "."], ("pandas", "torch"), "eval"),
        (["data", "split", "."], ("pandas", "torch"), "eval"),
    ],
)
def test_a_command_names_the_extra_that_brings_all_it_needs(
    arguments: list[str], missing: tuple[str, ...], extra: str, tmp_path: Path
) -> None:
    program = (
        f"import sys\nfor name in {missing}:\n    sys.modules[name] = None  # an import of it now fails\n"
        "from lesionwise.cli import main\nmain()"
    )
    command = [sys.executable, "-c", program, *arguments]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    assert f'pip install "lesionwise[{extra}]"' in done.stderr


def test_a_split_is_made_without_torch(drawn_folder: Path, tmp_path: Path) -> None:
    program = (
        "import sys\n"
        "class WithoutTorch:\n"
        "    def find_spec(name, path, target=None):\n"
        "        if name.partition('.')[0] == 'torch':\n"
        "            raise ModuleNotFoundError(name, name=name)\n"
        "sys.meta_path.insert(0, WithoutTorch)\n"
        "from lesionwise.cli import main\nmain()"
    )
    command = [sys.executable, "-c", program, "data", "split", str(drawn_folder), "--out", "split.csv"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "split.csv").is_file()
