"""`docs/tutorial.md`: every block runs in its order, and the notebook is the page."""

import json
import re
import runpy
import shlex
import tomllib
from pathlib import Path
from typing import Any

import pytest

from conftest import ROOT, Lesionwise

SCRIPT = runpy.run_path(str(ROOT / "docs" / "notebook.py"))
BLOCKS: list[tuple[str, str]] = SCRIPT["blocks"](SCRIPT["PAGE"].read_text(encoding="utf-8"))


def test_the_notebook_is_the_page() -> None:
    assert SCRIPT["NOTEBOOK"].read_text(encoding="utf-8") == SCRIPT["render"]()
    cells = json.loads(SCRIPT["render"]())["cells"]
    assert len(cells) == len(BLOCKS)
    assert {cell["cell_type"] for cell in cells} == {"markdown", "code"}


def test_the_notebook_stands_alone_and_its_address_is_a_variable_to_set() -> None:
    cells = json.loads(SCRIPT["render"]())["cells"]
    texts = ["".join(cell["source"]) for cell in cells]
    assert texts[1] == 'ADDRESS = "https://…"\n!pip install "lesionwise[train] @ git+$ADDRESS"'
    assert not [text for text in texts if re.search(r"\]\((?!https?:)", text)]
    assert "Installing (`docs/install.md`)" in texts[2]
    assert sum(text.endswith("\nanswers") for text in texts) == 1  # with images, bars and maps


def test_no_shell_takes_an_option_of_the_tutorial_for_a_pattern() -> None:
    lines = [line for kind, text in BLOCKS if kind == "sh" for line in text.splitlines()]
    bare = [re.sub(r"'[^']*'|\"[^\"]*\"", "", line) for line in lines]
    assert not [line for line in bare if re.search(r"[]\[*?{}]", line)]


@pytest.mark.slow
def test_every_block_of_the_tutorial_runs(lesionwise: Lesionwise, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("torch")
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    names: dict[str, Any] = {}
    for kind, text in BLOCKS:
        if kind == "python":
            exec(compile(text, "tutorial.md", "exec"), names)  # noqa: S102 (our own page)
            assert capsys.readouterr().out
        for line in text.splitlines() if kind == "sh" else ():
            words = shlex.split(line)
            if words[0].startswith("ADDRESS="):
                continue
            if words[:2] == ["pip", "install"]:
                assert words[2].endswith("@ git+$ADDRESS")
                assert words[2].partition("[")[2].partition("]")[0] in extras
                continue
            assert words[0] == "lesionwise"
            done = lesionwise(*words[1:])
            assert done.code == 0, f"{line}\n{done.out}{done.err}"
    for made in ("runs/first/report.html", "runs/first/model_card.md", "answers.csv", "hub/README.md"):
        assert "phantoms" in Path(made).read_text(encoding="utf-8").lower(), made
    assert names["own"].description.name == "small (phantoms)"
    assert names["own"].description.licence == "CC BY-NC 4.0"


def test_no_block_but_the_install_is_left_out() -> None:
    lines = [line for kind, text in BLOCKS if kind == "sh" for line in text.splitlines()]
    assert [line for line in lines if not line.startswith("lesionwise ")] == lines[:2]
    assert sum(kind == "python" for kind, _ in BLOCKS) == 3
