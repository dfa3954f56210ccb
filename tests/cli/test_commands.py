import importlib.util
import re

import pytest
import typer

from conftest import ROOT, Lesionwise
from lesionwise.cli.app import RENAMED, app

TEXTS = [
    path
    for name in ("README.md", "CONTRIBUTING.md", "docs", "src", "examples", "benchmarks")
    for path in ([ROOT / name] if (ROOT / name).is_file() else sorted((ROOT / name).rglob("*")))
    if path.suffix in {".md", ".py", ".sh", ".toml", ".html", ".js"}
    and path.parent.name != "weights"  # cards that stand word for word in a bundle
    and not path.stem.startswith("startup")  # measures how soon an old name answers
]


def test_the_help_has_at_most_twenty_commands_in_panels_by_stage(
    lesionwise: Lesionwise, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "110")
    shown = lesionwise("--help").out
    assert re.findall(r"╭─ (\w+) ─", shown) == ["Options", "Start", "Data", "Train", "Evaluate", "Use"]
    commands = typer.main.get_command(app).list_commands(None)  # type: ignore[attr-defined]
    assert len(commands) <= 20
    assert [shown.index(f"│ {name} ") for name in commands] == sorted(
        shown.index(f"│ {name} ") for name in commands
    )


@pytest.mark.parametrize("old", sorted(RENAMED))
def test_an_old_name_answers_with_the_new_one_and_is_not_in_the_help(
    old: str, lesionwise: Lesionwise
) -> None:
    name, _, option = old.partition(" ")
    refused = lesionwise(name, "somewhere", *([option] if option else []))
    assert refused.code == 2
    assert refused.out == ""
    assert refused.err.startswith(f'Error: "{old}" is now "{RENAMED[old]}"')
    named = re.search(r'see "lesionwise ([a-z -]+) --help"', refused.err)
    assert named
    assert lesionwise(*named[1].split(), "--help").code == 0
    shown = lesionwise("--help").out if not option else lesionwise(name, "--help").out
    assert not re.search(rf"^│ {re.escape(option or name)} ", shown, re.MULTILINE)


def test_flags_are_shown_without_a_type(lesionwise: Lesionwise) -> None:
    for arguments in (["--help"], ["bundle", "--help"], ["evaluate", "--help"], ["bundle", "show", "--help"]):
        assert "<bool>" not in lesionwise(*arguments).out


def test_every_command_has_json_and_quiet(lesionwise: Lesionwise) -> None:
    listed = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    commands = [
        line.removeprefix("### lesionwise ") for line in listed.splitlines() if line.startswith("### ")
    ]
    assert {"serve", "recipes", "data merge", "bundle show"} <= set(commands)
    for command in commands:
        shown = lesionwise(*command.split(), "--help").out
        assert "--json" in shown, command
        assert "--quiet" in shown, command


def test_no_text_names_a_command_by_its_old_name() -> None:
    old = "|".join(name for name in RENAMED if " " not in name)
    pattern = re.compile(rf"lesionwise (?:{old})\b(?!:)|evaluate [^\n`]*--robustness")
    found = [
        f"{path.relative_to(ROOT)}: {match[0]}"
        for path in TEXTS
        if path.name not in {"app.py", "commands.py"}  # they hold RENAMED, and the script of the page
        for match in pattern.finditer(path.read_text(encoding="utf-8"))
    ]
    assert not found


def test_the_page_of_commands_is_what_the_command_line_says_now() -> None:
    script = ROOT / "docs" / "commands.py"
    spec = importlib.util.spec_from_file_location("commands_page", script)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    written = script.with_suffix(".md").read_text(encoding="utf-8")
    assert written == module.render(), "run: python docs/commands.py"
    assert written.count("\n### lesionwise ") >= 27
