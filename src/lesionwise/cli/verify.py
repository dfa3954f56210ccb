"""`lesionwise bundle verify`."""

from pathlib import Path
from typing import Annotated

import typer

from lesionwise.cli.console import print_note, print_result
from lesionwise.cli.options import Json, ModelFile, Quiet
from lesionwise.cli.transfer import TransferDisplay

Data = Annotated[
    Path | None,
    typer.Option("--data", help="The data that it was tested on; HAM10000 is downloaded if left out."),
]


def verify(data: Data = None, model: ModelFile = None, json: Json = False, quiet: Quiet = False) -> None:
    """Run a model on the test images that it names, and confirm what it claims row by row."""
    from lesionwise.bundle.engine import load_model
    from lesionwise.data.dataset import read_dataset
    from lesionwise.predict.verify import verify_claims

    engine = load_model(model)
    rows = verify_claims(engine, read_dataset(data or _download(quiet=quiet)))
    refuted = sum(not row.confirmed for row in rows)
    width = 2 + max(len(row.score) for row in rows)
    lines = [
        f"{'  ' if row.confirmed else '! '}{row.score.replace('_', ' '):{width}}{row.diagnosis:6}"
        f"claimed {row.claimed:<9.4g} found {'nothing' if row.found is None else f'{row.found:.4g}'}"
        for row in rows
    ]
    verdict = f"REFUTED in {refuted} of {len(rows)} rows." if refuted else f"CONFIRMED, all {len(rows)} rows."
    value = {
        "model": engine.bundle.sha256,
        "confirmed": not refuted,
        "rows": [row.to_json() for row in rows],
    }
    print_result("\n".join([*lines, verdict]), value, as_json=json)
    if refuted:
        raise typer.Exit(1)


def _download(*, quiet: bool) -> Path:
    """Return the folder of HAM10000 beside the image caches, filled where that was not done before."""
    from lesionwise.data.download.obtain import download_set
    from lesionwise.data.download.sources import Set
    from lesionwise.data.workspace import default_cache_root

    folder = default_cache_root().parent / "ham10000"
    print_note(f"No --data: HAM10000 (2.8 GB) goes to {folder}, unless it is there.", quiet=quiet)
    with TransferDisplay(quiet=quiet) as display:
        download_set(Set.train, folder, progress=display)
    return folder
