"""`lesionwise compare`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lesionwise.cli.console import print_result
from lesionwise.cli.evaluate import Normalise, TableOption, TruthOption, read_csv, read_metadata
from lesionwise.cli.options import Json
from lesionwise.errors import LesionwiseError, RunError

if TYPE_CHECKING:
    import pandas as pd

    from lesionwise.evaluation.compare import Comparison
    from lesionwise.evaluation.predictions import Predictions

_SHOWN = ("balanced_accuracy", "accuracy", "macro_f1", "macro_auc", "log_loss", "brier")


def compare(
    sources: Annotated[
        list[Path],
        typer.Argument(help="Two or more; each is compared with the first.", metavar="RUN|CSV RUN|CSV…"),
    ],
    truth: TruthOption = None,
    table: TableOption = None,
    normalise: Normalise = False,
    json: Json = False,
) -> None:
    """Hold models against the first (runs by their val parts): differences with intervals, McNemar's test."""
    from lesionwise.evaluation.compare import compare as compare_predictions

    if len(sources) < 2:  # noqa: PLR2004 (one has nothing to be compared with)
        raise LesionwiseError("Expected at least two runs or CSVs but got one.")
    _verify_same_split([source for source in sources if not source.is_file()])
    read = read_metadata(table) if table else None
    named = [(str(source), _read(source, truth, read, normalise=normalise)) for source in sources]
    comparisons = compare_predictions(named)
    text = "\n\n".join(_describe(comparison) for comparison in comparisons)
    print_result(text, [comparison.to_json() for comparison in comparisons], as_json=json)


def _read(
    source: Path, truth: Path | None, table: "pd.DataFrame | None", *, normalise: bool
) -> "Predictions":
    from lesionwise.evaluation.runs.predictions import read_run_predictions
    from lesionwise.evaluation.runs.scores import working_part
    from lesionwise.run_folder import open_run_folder

    if source.is_file():
        return read_csv(source, truth, table, normalise=normalise)
    run = open_run_folder(source)
    return read_run_predictions(run, working_part(run))


def _verify_same_split(runs: list[Path]) -> None:
    from lesionwise.run_folder import open_run_folder, read_split_facts

    prints = {run: read_split_facts(open_run_folder(run))["fingerprint"] for run in runs}
    for run, fingerprint in prints.items():
        if fingerprint != prints[runs[0]]:
            raise RunError(
                f"{run}: was made with split {fingerprint[:12]}, {runs[0]} with {prints[runs[0]][:12]}. "
                "One may have trained on what the other is asked; train both with the same --split."
            )


def _describe(comparison: "Comparison") -> str:
    test = comparison.mcnemar
    counts = f"{comparison.images} images of {comparison.lesions} lesions"
    lines = [f"{comparison.name} less {comparison.reference}: {counts} (95 % intervals by paired lesions)"]
    for name in _SHOWN:
        if name not in comparison.differences:
            continue
        difference = comparison.differences[name]
        clear = "" if difference.low <= 0 <= difference.high else "   0 is outside"
        lines.append(
            f"  {name.replace('_', ' '):18} {difference.value:+.3f} "
            f"({difference.low:+.3f} to {difference.high:+.3f}){clear}"
        )
    lines.append(
        f"  right alone: {test.second_alone} images, {comparison.reference} {test.first_alone}; "
        f"exact McNemar p = {test.p_value:.2g} (takes images for independent)"
    )
    return "\n".join(lines)
