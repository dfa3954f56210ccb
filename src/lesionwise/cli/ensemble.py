"""`lesionwise ensemble`."""

from pathlib import Path
from typing import Annotated

import typer

from lesionwise.cli.console import describe_evaluation, print_note, print_result
from lesionwise.cli.options import Json, Out, Quiet


def ensemble(
    runs: Annotated[list[Path], typer.Argument(help="Two or more runs on one split.", metavar="RUN RUN…")],
    out: Out = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Average the calibrated answers of runs on one split; the result can be used like a run."""
    from lesionwise.files import sole_writer
    from lesionwise.run_folder import folders_of, next_run_path, open_run_folder

    members = [open_run_folder(path) for path in runs]
    from lesionwise.evaluation.runs.ensemble import claim_ensemble_folder, is_calibrated, make_ensemble
    from lesionwise.evaluation.runs.predictions import describe_unscored
    from lesionwise.evaluation.runs.scores import evaluate_part, working_part

    path = out or next_run_path(Path("runs"), "ensemble")
    with sole_writer(path, *folders_of(*members)):
        folder = claim_ensemble_folder(path, members)
        parts = make_ensemble(members, folder)
        part = working_part(folder)
        evaluation = evaluate_part(folder, part) if part in parts else None
    raw = [str(run.path) for run in members if not is_calibrated(run)]
    if raw:
        print_note(f"These runs are not calibrated, so raw probabilities were averaged: {', '.join(raw)}.")
    made = f"Ensemble of {len(members)}: {folder.path}"
    value = {"run": str(folder.path), "parts": parts, "not_calibrated": raw}
    if evaluation is None:
        print_result(f"{describe_unscored(folder)}\n\n{made}", value, as_json=json)
        return
    text = f"{describe_evaluation(evaluation, part)}\n\n{made}"
    print_result(text, {**value, part: evaluation.to_json()}, as_json=json)
