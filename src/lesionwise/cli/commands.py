"""What every group of commands shares: old names that answer with the new one, and help without noise."""

from typing import Any, Final

from typer.core import TyperGroup

from lesionwise.errors import LesionwiseError

RENAMED: Final = {
    "card": "report RUN --card",
    "evaluate --robustness": "robustness RUN",
    "explore": "data explore",
    "export": "bundle export",
    "phantom": "data phantom",
    "publish": "bundle publish",
    "reread": "evaluate RUN --set KEY=VALUE",
    "split": "data split",
    "verify": "bundle verify",
}
"""Each command, or option of one, that had another name before, and how it is written now."""


class CommandGroup(TyperGroup):
    """A group whose help lists commands in the order of their stages, and flags without a type."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:  # noqa: ANN401 (typer hides these types)
        """Return the command that was asked for; a name of before is refused with the name of today."""
        if ctx.parent is None:
            for old, new in RENAMED.items():
                name, _, option = old.partition(" ")
                if args[0] == name and (not option or option in args):
                    raise LesionwiseError(f'"{old}" is now "{new}": see "lesionwise {_command(new)} --help".')
        return super().resolve_command(ctx, args)

    def get_params(self, ctx: Any) -> Any:  # noqa: ANN401 (the same)
        """Return the options of the group."""
        return _without_flag_types(super().get_params(ctx))

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ANN401 (the same)
        """Return a command of the group."""
        command = super().get_command(ctx, cmd_name)
        if command:
            _without_flag_types(command.get_params(ctx))
        return command


def _command(text: str) -> str:
    """Return the words of a command line that come before its first argument or option."""
    words = text.split()
    return " ".join(words[: next((i for i, word in enumerate(words) if not word.islower()), len(words))])


def _without_flag_types(params: list[Any]) -> list[Any]:
    """Let the help show `--json` and not `--json <bool>`: a flag takes no value."""
    for param in params:
        if getattr(param, "is_flag", False):
            param.metavar = ""
    return params
