"""The scripts of the laboratory: each can be started where it lies."""

import importlib.util
import sys
from pathlib import Path

import pytest

from conftest import ROOT

LABORATORY = ROOT / "benchmarks"
ELSEWHERE = {  # not of this project, or of an extra that its tests do without; a script says so
    *("crepes", "deel", "keras", "mapie", "monai", "netcal", "onnxruntime", "pytorch_ood", "skimage"),
    "tensorflow",
    "torch_uncertainty",
}


@pytest.mark.parametrize(
    "script", sorted(LABORATORY.rglob("*.py")), ids=lambda path: str(path.relative_to(LABORATORY))
)
def test_a_script_finds_everything_that_it_imports(script: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(script.parent))
    neighbours = [path.stem for path in script.parent.glob("*.py")]
    for name in neighbours:  # such as `training`, which is also a folder of tests
        monkeypatch.delitem(sys.modules, name, raising=False)
    specification = importlib.util.spec_from_file_location("script", script)
    assert specification
    assert specification.loader
    module = importlib.util.module_from_spec(specification)
    try:
        specification.loader.exec_module(module)
    except ModuleNotFoundError as missing:
        if missing.name not in ELSEWHERE:
            raise
        pytest.skip(f"{missing.name} is not installed")
    finally:
        for name in neighbours:
            sys.modules.pop(name, None)


@pytest.mark.parametrize(
    "script", sorted(LABORATORY.rglob("*.py")), ids=lambda path: str(path.relative_to(LABORATORY))
)
def test_a_script_says_how_it_is_started(script: Path) -> None:
    place = str(script.relative_to(ROOT))
    text = script.read_text(encoding="utf-8")
    assert place in text or 'if __name__ == "__main__"' not in text
