"""What is written twice is tested: names, recipes, commands, texts."""

import ast
import re
import shlex
import subprocess
import tomllib
from itertools import pairwise

import pytest
import typer
from typer.core import TyperGroup

import lesionwise
from conftest import ROOT
from lesionwise.cli.app import app
from lesionwise.errors import MissingExtraError
from lesionwise.recipe import load_recipe, recipe_names

SOURCES = sorted((ROOT / "src" / "lesionwise").rglob("*.py"))
PUBLIC = [
    "Dataset",
    "Evaluation",
    "Execution",
    "LesionKFold",
    "Progress",
    "evaluate",
    "lesion_groups",
    "load_gallery",
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


@pytest.mark.parametrize(("name", "extra"), [("read_dataset", "eval"), ("train", "train")])
def test_a_public_name_that_needs_an_extra_names_it(
    name: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = {"eval": "pandas", "train": "torch"}[extra]

    def lacks(_: str) -> None:
        raise ModuleNotFoundError(name=missing)

    monkeypatch.setattr(lesionwise, "import_module", lacks)
    with pytest.raises(MissingExtraError, match=rf'pip install "lesionwise\[{extra}\]"'):
        getattr(lesionwise, name)


def test_every_file_says_what_it_is() -> None:
    assert not [path for path in SOURCES if not ast.get_docstring(ast.parse(path.read_text("utf-8")))]


def test_the_modules_that_a_docstring_points_to_exist() -> None:
    inside = [path.relative_to(ROOT / "src").with_suffix("").parts for path in SOURCES]
    modules = {f".{'.'.join(parts)}".removesuffix(".__init__") for parts in inside}
    lost = []
    for path in SOURCES:
        elsewhere = (ast.get_docstring(ast.parse(path.read_text("utf-8"))) or "").partition("Not here:")[2]
        names = re.findall(r"\(`([a-z_0-9.]+)`\)", elsewhere.partition("\n\n")[0])
        unknown = [name for name in names if not any(module.endswith(f".{name}") for module in modules)]
        lost += [f"{path.relative_to(ROOT)}: {name}" for name in unknown]
    assert lost == []


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


def test_every_link_of_a_page_leads_to_a_file() -> None:
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "benchmarks").rglob("*.md")]
    dead = [
        f"{page.relative_to(ROOT)}: {link}"
        for page in pages
        for link in re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8"))
        if "://" not in link and not (page.parent / link).exists()
    ]
    assert dead == []


def test_every_page_and_example_is_linked_from_the_readme() -> None:
    linked = set(re.findall(r"\]\(([^)#\s]+)", (ROOT / "README.md").read_text(encoding="utf-8")))
    pages = [*(ROOT / "docs").glob("*.md"), *(ROOT / "examples").glob("*.py")]
    assert len(pages) > 20
    assert sorted({path.relative_to(ROOT).as_posix() for path in pages} - linked) == []


def test_the_page_of_data_names_the_commands_that_take_a_part_of_a_challenge() -> None:
    page = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    taking = {
        section.split("\n")[0].split()[-1]
        for section in page.split("\n### lesionwise ")[1:]
        if "| `--part NAME` | Part of a challenge" in section
    }
    sentence = re.search(
        r"([^.]*) have\s+the option\.", (ROOT / "docs" / "data.md").read_text(encoding="utf-8")
    )
    assert sentence
    assert set(re.findall(r"`([a-z]+)`", sentence[1])) == taking


def documented_commands() -> list[tuple[str, str]]:
    """Where each indented command of README, docs and benchmarks stands, and its words up to a remark."""
    folders = [*(ROOT / "docs").glob("*.md"), *(ROOT / "benchmarks").rglob("*.md")]
    pages = [ROOT / "README.md", *sorted(folders)]
    return [
        (page.name, re.split(r" #|   |\\$", found)[0])
        for page in pages
        for found in re.findall(r"^    lesionwise (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    ]


@pytest.mark.parametrize(("page", "line"), documented_commands())
def test_every_documented_command_takes_its_options(page: str, line: str) -> None:
    command = typer.main.get_command(app)
    words = shlex.split(line)
    while isinstance(command, TyperGroup):
        command = command.commands[words.pop(0)]
    options = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
    asked = set(re.findall(r"--[a-z]+", line))
    assert asked <= options, f"{page}: {asked - options}"
    changes = [change for option, change in pairwise(words) if option == "--set"]
    if changes and words[0] in recipe_names():
        load_recipe(words[0], changes)


def test_version_citation_and_changelog_agree() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    cited = re.search(r"^version: (.*)\ndate-released: (.*)$", citation, re.MULTILINE)
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    released = re.search(r"^## \[(\d.*?)\] - (.*)$", changelog, re.MULTILINE)
    assert cited
    assert released
    assert cited.groups() == released.groups()
    assert cited[1] == version == lesionwise.__version__


def test_no_image_nor_array_is_committed() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode != 0:
        pytest.skip("not a git checkout")
    pictures = [
        name for name in listed.stdout.splitlines() if re.search(r"\.(jpe?g|png|webp|bmp|npy|npz)$", name)
    ]
    drawn = ("docs/", "src/lesionwise/serve/drawn/")
    assert not [name for name in pictures if not name.startswith(drawn)]


def test_git_ignores_no_file_of_the_package() -> None:
    command = ["git", "ls-files", "--others", "--ignored", "--exclude-standard", "src"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode != 0:
        pytest.skip("not a git checkout")
    assert not [name for name in listed.stdout.splitlines() if "__pycache__" not in name]


def test_the_page_for_contributors_names_files_and_constants_that_exist() -> None:
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    rows = [line for line in page.splitlines() if line.startswith("| a ")]
    assert len(rows) >= 10
    source = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "src").rglob("*.py"))
    for row in rows:
        for name in re.findall(r"`([^`]+)`", row):
            if re.fullmatch(r"[\w/.]+(?:\.py|\.toml|/)", name):
                package = ROOT / "src" / "lesionwise"
                folders = [ROOT, package, *(path for path in package.rglob("*") if path.is_dir())]
                assert any((folder / name).exists() for folder in folders), f"{name} in: {row}"
            elif re.fullmatch(r"_?[A-Z_]{4,}", name):
                assert re.search(rf"^{name}\b", source, re.MULTILINE), f"{name} in: {row}"
