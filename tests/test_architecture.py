"""What is written twice is tested: names, recipes, commands, texts."""

import ast
import re
import subprocess
import sys
import tomllib

import pytest

import lesionwise
from conftest import ROOT

SOURCES = sorted((ROOT / "src" / "lesionwise").rglob("*.py"))
PUBLIC = [
    "Dataset",
    "Evaluation",
    "LesionKFold",
    "evaluate",
    "lesion_groups",
    "load_model",
    "read_dataset",
    "train",
]


def test_the_public_names_are_these() -> None:
    assert sorted(lesionwise.__all__) == PUBLIC
    for name in PUBLIC:
        assert getattr(lesionwise, name).__doc__


def test_an_unknown_public_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = lesionwise.nothing


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT / "src" / "lesionwise")))
def test_files_and_functions_stay_readable(path: object) -> None:
    text = path.read_text(encoding="utf-8")  # type: ignore[attr-defined]
    assert len(text.splitlines()) <= 350
    tree = ast.parse(text)
    assert ast.get_docstring(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            documented = len((ast.get_docstring(node, clean=False) or "").splitlines())
            lines = (node.end_lineno or 0) - node.body[0].lineno + 1 - documented
            assert lines <= 45, f"{node.name} has {lines} lines"


def test_no_room_is_without_a_concept() -> None:
    nameless = {"utils", "util", "helpers", "common", "core", "misc", "manager"}
    assert not [path for path in SOURCES if {part.removesuffix(".py") for part in path.parts} & nameless]


def test_the_picture_of_the_layers_in_contributing_is_the_contract() -> None:
    contract = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
        "contracts"
    ][0]
    drawn = re.search(
        r"^    (cli → .*)$", (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert drawn
    assert drawn[1].split(" → ") == contract["layers"]


def test_every_command_in_the_readme_exists() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    verbs = set(re.findall(r"^(?:    )?lesionwise (\w[\w-]*)", text, re.MULTILINE))
    assert verbs
    for verb in verbs:
        command = [sys.executable, "-m", "lesionwise", verb, "--help"]
        done = subprocess.run(command, capture_output=True, check=False)
        assert done.returncode == 0, verb


def test_every_score_in_the_readme_stands_in_a_benchmark() -> None:
    measured = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "benchmarks").glob("*.md"))
    scores = re.findall(
        r"\d\.\d{3} \(\d\.\d{3} to \d\.\d{3}\)", (ROOT / "README.md").read_text(encoding="utf-8")
    )
    assert scores
    assert not [score for score in scores if score not in measured]


def test_no_image_nor_array_is_committed() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode != 0:
        pytest.skip("not a git checkout")
    pictures = [
        name for name in listed.stdout.splitlines() if re.search(r"\.(jpe?g|png|webp|bmp|npy|npz)$", name)
    ]
    assert not [name for name in pictures if not name.startswith("docs/")]
