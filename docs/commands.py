"""Write `docs/commands.md` from the help texts of the command line: `python docs/commands.py`.

A test compares the page with what the command line says, so run this after a change of a command.
"""

import re
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperGroup

from lesionwise.cli.app import app

PAGE = Path(__file__).with_suffix(".md")
INTRODUCTION = """\
# Commands

*`python docs/commands.py` writes this page from the help texts. Do not edit it.*

`lesionwise --help` shows the commands by stage, `lesionwise COMMAND --help` the options of one.
`lesionwise --install-completion` teaches your shell (bash, zsh, fish or PowerShell) to complete commands,
options, recipes, recipe keys and models; open a new shell afterwards. `lesionwise --show-completion` prints
what it would install.

A command ends with 0 when it is done, with 1 when a check found something wrong, and with 2 when it was used
wrongly or its input cannot be used. Results go to the standard output; progress, notes and errors go to the
standard error.
"""


def render() -> str:
    """Return the page."""
    root: Any = typer.main.get_command(app)
    context = root.make_context("lesionwise", [], resilient_parsing=True)
    stages: dict[str, list[str]] = {}
    for name in root.list_commands(context):
        command = root.get_command(context, name)
        stages.setdefault(command.rich_help_panel, []).extend(_command(command, name, context))
    contents = [f"* **{stage}**: " + ", ".join(_links(lines)) for stage, lines in stages.items()]
    body = [line for stage, lines in stages.items() for line in (f"## {stage}", "", *lines)]
    return "\n".join([INTRODUCTION, *contents, "", *body]).rstrip() + "\n"


def _command(command: Any, name: str, parent: Any) -> list[str]:  # noqa: ANN401 (typer hides its types)
    """Return the section of a command, or those of all commands of a group."""
    context = type(parent)(command, info_name=name, parent=parent)
    if isinstance(command, TyperGroup):
        names = command.list_commands(context)
        return [
            line for each in names for line in _command(command.get_command(context, each), each, context)
        ]
    usage = " ".join(command.get_usage(context).removeprefix("Usage:").split())
    arguments = [_row(param, context) for param in command.get_params(context) if _is_shown(param)]
    return [
        f"### {context.command_path}", "", f"    {usage}", "", _plain(command.help), "",
        "| argument or option | what it does |", "|---|---|", *arguments, "",
    ]  # fmt: skip


def _is_shown(param: Any) -> bool:  # noqa: ANN401 (typer hides its types)
    return not param.hidden and param.name != "help"


def _row(param: Any, context: Any) -> str:  # noqa: ANN401 (typer hides its types)
    """Return the table row of an argument or option: name, value, help, default."""
    if param.param_type_name == "argument":
        name = f"`{param.display_name_raw}`"
    else:
        name = f"`{' '.join([', '.join(param.opts), param.display_type_rich(context) or '']).strip()}`"
    limits = param._get_number_range_help_str() or ""  # noqa: SLF001 (what the help itself calls)
    notes = [f"`{limits}`"] if limits else []
    default = param.get_default(context)
    if param.required:
        notes.append("required")
    elif default is not None and default is not False and default != "":
        notes.append(f"default: `{default}`")
    if param.envvar:
        notes.append(f"environment: `{param.envvar}`")
    text = " ".join([_plain(param.help), *([f"({'; '.join(notes)})"] if notes else [])])
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in (name, text)) + " |"


def _plain(text: str) -> str:
    return " ".join(text.split())


def _links(lines: list[str]) -> list[str]:
    titles = [line.removeprefix("### ") for line in lines if line.startswith("### ")]
    return [f"[{title.removeprefix('lesionwise ')}](#{re.sub(r'[^a-z-]', '-', title)})" for title in titles]


if __name__ == "__main__":
    PAGE.write_text(render(), encoding="utf-8")
