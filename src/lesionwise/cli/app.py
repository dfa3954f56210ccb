"""The command tree."""

from typing import Annotated

import typer

from lesionwise import __version__
from lesionwise.cli import (
    bundle,
    calibrate,
    card,
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
    reread,
    run,
    serve,
    split,
    train,
    verify,
)

app = typer.Typer(
    name="lesionwise",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Research and education only; not a medical device.",
)


def _print_version(wanted: bool) -> None:  # noqa: FBT001 (typer calls it so)
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Classify dermatoscopic images of skin lesions, and check every number on the way."""


app.command("run")(run.run)
app.command("split")(split.split)
app.add_typer(data.app, name="data")
app.command("explore")(explore.explore)
app.command("check")(check.check)
app.command("train")(train.train)
app.command("cross-validate")(cross_validate.cross_validate)
app.command("leakage")(leakage.leakage)
app.command("ensemble")(ensemble.ensemble)
app.command("reread")(reread.reread)
app.command("calibrate")(calibrate.calibrate)
app.command("evaluate")(evaluate.evaluate)
app.command("compare")(compare.compare)
app.command("explain")(explain.explain)
app.command("report")(evaluate.report)
app.command("card")(card.card)
app.command("export")(bundle.export)
app.add_typer(bundle.app, name="bundle")
app.command("verify")(verify.verify)
app.command("predict")(predict.predict)
app.command("serve")(serve.serve)
app.command("publish")(publish.publish)
app.command("phantom")(phantom.phantom)
