"""`lesionwise verify`."""

from pathlib import Path
from typing import Annotated

import typer

from lesionwise.cli.console import print_result
from lesionwise.cli.options import Json

Model = Annotated[Path | None, typer.Option("--model", help="A bundle; the one that ships if left out.")]
Data = Annotated[Path, typer.Option("--data", help="The data that it was tested on.")]


def verify(data: Data, model: Model = None, json: Json = False) -> None:
    """Run a model on the test images that it names, and confirm its scores row by row."""
    from lesionwise.bundle.engine import load_model
    from lesionwise.data.dataset import read_dataset
    from lesionwise.predict.verify import verify_claims

    engine = load_model(model)
    rows = verify_claims(engine, read_dataset(data))
    refuted = sum(not row.confirmed for row in rows)
    lines = [
        f"{'  ' if row.confirmed else '! '}{row.score.replace('_', ' '):24}{row.diagnosis:6}"
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
