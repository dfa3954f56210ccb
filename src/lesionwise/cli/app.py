"""The command tree, by stage. A panel of `lesionwise --help` is a stage; a group holds what goes together."""

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Annotated, Any, Final, NamedTuple

import typer
from typer.core import TyperGroup

from lesionwise.cli import (
    bundle,
    bundle_import,
    bundle_show,
    calibrate,
    check,
    compare,
    data,
    evaluate,
    experiments,
    gallery,
    predict,
    recipes,
    report,
    serve,
    train,
)
from lesionwise.cli.console import be_quiet, give_json
from lesionwise.cli.options import Json, Quiet
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
        """Return the command that was asked for; a former name is refused with the present one."""
        if ctx.parent is None:
            for old, new in RENAMED.items():
                name, _, option = old.partition(" ")
                if args[0] == name and (not option or option in args):
                    raise LesionwiseError(f'"{old}" is now "{new}": see "lesionwise {_words(new)} --help".')
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


def _words(text: str) -> str:
    """Return the words of a command line that come before its first argument or option."""
    words = text.split()
    return " ".join(words[: next((i for i, word in enumerate(words) if not word.islower()), len(words))])


def _without_flag_types(params: list[Any]) -> list[Any]:
    """Let the help show `--json` and not `--json <bool>`: a flag takes no value."""
    for param in params:
        if getattr(param, "is_flag", False):
            param.metavar = ""
    return params


class _Group(NamedTuple):
    """Commands under one word."""

    help: str
    commands: dict[str, Callable[..., Any]]


_STAGES: Final[dict[str, dict[str, Callable[..., Any] | _Group]]] = {
    "Start": {"run": train.run},
    "Data": {
        "data": _Group(
            "Get images, draw some, look at them, check them, and split them by lesion.",
            {
                "download": data.download,
                "phantom": data.phantom,
                "explore": data.explore,
                "verify": data.verify,
                "audit": data.audit,
                "lesions": data.lesions,
                "split": data.split,
                "merge": data.merge,
            },
        ),
        "check": check.check,
    },
    "Train": {
        "recipes": recipes.recipes,
        "train": train.train,
        "cross-validate": experiments.cross_validate,
        "leakage": experiments.leakage,
        "ensemble": train.ensemble,
        "calibrate": calibrate.calibrate,
    },
    "Evaluate": {
        "evaluate": evaluate.evaluate,
        "robustness": experiments.robustness,
        "stability": experiments.stability,
        "compare": compare.compare,
        "explain": report.explain,
        "report": report.report,
    },
    "Use": {
        "predict": predict.predict,
        "gallery": gallery.gallery,
        "similar": gallery.similar,
        "serve": serve.serve,
        "bundle": _Group(
            "Make a model file (an .onnx file that describes itself), or show, time, check and publish one.",
            {
                "export": bundle.export,
                "show": bundle_show.show,
                "benchmark": bundle.benchmark,
                "verify": bundle.verify,
                "publish": bundle.publish,
                "import": bundle_import.import_,
            },
        ),
    },
}


_COMMON: Final = {"json": Json, "quiet": Quiet}


def _with_common_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Return a command with `--json` and `--quiet` after its own options; both work by their callbacks."""
    more = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=False, annotation=kind)
        for name, kind in _COMMON.items()
    ]

    @wraps(command)
    def run(**given: Any) -> None:  # noqa: ANN401 (the options of any command)
        command(**{name: value for name, value in given.items() if name not in _COMMON})

    own = inspect.signature(command)
    run.__signature__ = own.replace(parameters=[*own.parameters.values(), *more])  # type: ignore[attr-defined]
    return run


class _Stages(CommandGroup):
    """The commands at the top, in the order of the stages."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ANN401, ARG002 (typer hides the type)
        """Return the names of the commands."""
        return [name for commands in _STAGES.values() for name in commands]


app = typer.Typer(
    name="lesionwise",
    cls=_Stages,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Research and education only; not a medical device.",
)


def _print_version(wanted: bool) -> None:  # noqa: FBT001 (typer calls it so)
    if wanted:
        from lesionwise import __version__

        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[  # noqa: ARG001 (it works by its callback)
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Classify dermatoscopic images of skin lesions, and check every number on the way."""
    be_quiet(wanted=False)  # until a command has --quiet
    give_json(wanted=False)  # or --json


for _stage, _commands in _STAGES.items():
    for _name, _command in _commands.items():
        if isinstance(_command, _Group):
            _group = typer.Typer(cls=CommandGroup, help=_command.help, no_args_is_help=True)
            for _verb, _function in _command.commands.items():
                _group.command(_verb)(_with_common_options(_function))
            app.add_typer(_group, name=_name, rich_help_panel=_stage)
        else:
            app.command(_name, rich_help_panel=_stage)(_with_common_options(_command))
