"""`lesionwise bundle verify`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lesionwise.cli.console import print_note, print_result
from lesionwise.cli.options import Json, ModelFile, Quiet, verify_data_folder
from lesionwise.cli.transfer import TransferDisplay

if TYPE_CHECKING:
    from lesionwise.predict.verify import Verification

Data = Annotated[
    Path | None,
    typer.Option(
        "--data",
        help="Folder of the data that the model was tested on; without it, HAM10000 is downloaded.",
        metavar="DIR",
        callback=verify_data_folder,
    ),
]


def verify(data: Data = None, model: ModelFile = None, json: Json = False, quiet: Quiet = False) -> None:
    """Run a model on the test images it names, and check each claimed score. Ends with 1 if one is wrong."""
    from lesionwise.bundle.engine import load_model
    from lesionwise.data.dataset import read_dataset
    from lesionwise.predict.verify import verify_claims

    engine = load_model(model)
    dataset = read_dataset(data or _download(quiet=quiet))
    for note in dataset.notes:
        print_note(note, quiet=quiet)
    found = verify_claims(engine, dataset)
    width = 2 + max(len(row.score) for row in found.rows)
    lines = _describe_known(found) + [
        f"{'! ' if row.refuted else '  '}{row.score.replace('_', ' '):{width}}{row.diagnosis:6}"
        f"claimed {row.claimed:<9.4g} found {'nothing' if row.found is None else f'{row.found:.4g}'}"
        f"{'' if row.checkable else '   (not checked)'}"
        for row in found.rows
    ]
    value = {
        "model": engine.bundle.sha256,
        "confirmed": found.confirmed,
        "verdict": found.verdict(),
        "known": found.known,
        "rows": [row.to_json() for row in found.rows],
    }
    print_result("\n".join([*lines, found.verdict()]), value, as_json=json)
    if not found.confirmed:
        raise typer.Exit(1)


def _describe_known(found: "Verification") -> list[str]:
    """Return what the data tell of the test images besides pictures, for a model that takes it."""
    if not found.known:
        return []
    counts = ", ".join(f"{name} of {count:,}" for name, count in found.known.items())
    lines = [f"Of {found.images:,} test images the data tell {counts}."]
    if found.untold:
        lines.append(
            f"The claim rests on {' and '.join(found.untold)}, which the data do not tell. Without it the "
            "model answers otherwise, so these rows are shown but not checked. Pass the folder with its "
            "metadata."
        )
    return lines


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
