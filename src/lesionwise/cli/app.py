"""The command tree, by stage. A panel of `lesionwise --help` is a stage; a group holds what goes together."""

from collections.abc import Callable
from typing import Annotated, Any, Final, NamedTuple

import typer

from lesionwise.cli import (
    bundle,
    calibrate,
    check,
    compare,
    cross_validate,
    data,
    ensemble,
    evaluate,
    explain,
    explore,
    leakage,
    phantom,
    predict,
    publish,
    recipes,
    report,
    robustness,
    run,
    serve,
    split,
    stability,
    train,
    verify,
)
from lesionwise.cli.commands import CommandGroup


class _Group(NamedTuple):
    """Commands under one word."""

    help: str
    commands: dict[str, Callable[..., Any]]


_STAGES: Final[dict[str, dict[str, Callable[..., Any] | _Group]]] = {
    "Start": {"run": run.run},
    "Data": {
        "data": _Group(
            "Get images, draw some, look at them, check them, and split them by lesion.",
            {
                "download": data.download,
                "phantom": phantom.phantom,
                "explore": explore.explore,
                "verify": data.verify,
                "audit": data.audit,
                "lesions": data.lesions,
                "split": split.split,
            },
        ),
        "check": check.check,
    },
    "Train": {
        "recipes": recipes.recipes,
        "train": train.train,
        "cross-validate": cross_validate.cross_validate,
        "leakage": leakage.leakage,
        "ensemble": ensemble.ensemble,
        "calibrate": calibrate.calibrate,
    },
    "Evaluate": {
        "evaluate": evaluate.evaluate,
        "robustness": robustness.robustness,
        "stability": stability.stability,
        "compare": compare.compare,
        "explain": explain.explain,
        "report": report.report,
    },
    "Use": {
        "predict": predict.predict,
        "serve": serve.serve,
        "bundle": _Group(
            "Make a model file (one .onnx file that describes itself), look into it, check it, publish it.",
            {
                "export": bundle.export,
                "show": bundle.show,
                "verify": verify.verify,
                "publish": publish.publish,
                "import": bundle.import_,
            },
        ),
    },
}


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
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Classify dermatoscopic images of skin lesions, and check every number on the way."""


for _stage, _commands in _STAGES.items():
    for _name, _command in _commands.items():
        if isinstance(_command, _Group):
            _group = typer.Typer(cls=CommandGroup, help=_command.help, no_args_is_help=True)
            for _verb, _function in _command.commands.items():
                _group.command(_verb)(_function)
            app.add_typer(_group, name=_name, rich_help_panel=_stage)
        else:
            app.command(_name, rich_help_panel=_stage)(_command)
