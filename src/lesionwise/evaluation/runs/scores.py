"""`scores.json`: the evaluation of each part of a run that was looked at."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Final, Literal

import pandas as pd

from lesionwise.errors import DataError, RunError
from lesionwise.evaluation.calibration.check import CalibrationCheck, check_calibration
from lesionwise.evaluation.predictions import Predictions, predictions_csv, write_predictions
from lesionwise.evaluation.runs.predictions import raw_probabilities, read_run_predictions, run_calibration
from lesionwise.evaluation.scores.evaluate import Evaluation, evaluate
from lesionwise.evaluation.scores.gaps import evaluate_gaps
from lesionwise.evaluation.scores.subgroups import evaluate_subgroups
from lesionwise.evaluation.stability import STABILITY
from lesionwise.evaluation.tables import join_table, rows_of
from lesionwise.files import is_used, read_json, write_json
from lesionwise.run_folder import RunFolder, read_split_facts, verify_no_file
from lesionwise.run_record import describe_environment

GIVEN: Final = "given"
"""The part that predictions from outside a run stand under."""
CLEAN: Final = "given-clean"
"""Those of them that the model was not made with, where it was made with some."""
OUT_OF_FOLD: Final = "out-of-fold"
"""The part of a cross-validation: every image predicted by the run that did not see its fold."""


def working_part(run: RunFolder) -> str:
    """Return the part that a run is judged by as long as choices are made: val, or out-of-fold."""
    return OUT_OF_FOLD if run.predictions(OUT_OF_FOLD).is_file() else "val"


def evaluate_part(run: RunFolder, part: str, *, table: pd.DataFrame | None = None) -> Evaluation:
    """Score the predictions of a part and add them to `scores.json`, with what its calibration was worth."""
    path, predictions = run.predictions(part), read_run_predictions(run, part)
    evaluation = evaluate_predictions(predictions, str(path), table=table)
    split = read_split_facts(run)
    stamp = {"stamp": split["stamp"]} if "stamp" in split else {}
    facts = {"split_fingerprint": split["fingerprint"], **stamp}
    _add_scores(run, part, evaluation, facts, _check(run, path, predictions))
    return evaluation


def is_evaluated(run: RunFolder) -> bool:
    """Return whether a part of a run was scored; `stability` may have been measured before."""
    return run.scores.is_file() and bool(read_json(run.scores).get("parts"))


def read_check(run: RunFolder, part: str) -> CalibrationCheck | None:
    """Return what the calibration of an evaluated run was worth on a part; None if it had none."""
    found = read_json(run.scores).get("calibration", {})
    return CalibrationCheck.from_json(found[part]) if part in found else None


def claim_given_folder(path: Path, predictions: Predictions, *, force: bool = False) -> RunFolder:
    """Return a folder for predictions from outside: a new one, or one that holds an evaluation of the same.

    What an earlier evaluation left in it is removed.

    Args:
        force: Take a folder that holds the evaluation of other predictions as well.
    """
    run = RunFolder(path)
    verify_no_file(path)
    if not is_used(path):
        return run
    given = run.predictions(GIVEN)
    if run.config.exists() or not given.is_file():
        raise RunError(f"{path}: is not empty and holds no evaluation of a CSV. Pass another --out.")
    if not force and given.read_text(encoding="utf-8") != predictions_csv(predictions):
        raise RunError(
            f"{path}: holds the evaluation of other predictions. Pass --force to write over it, or another "
            "--out."
        )
    for left in (run.scores, run.report, run.model_card):
        left.unlink(missing_ok=True)
    shutil.rmtree(run.figures, ignore_errors=True)
    return run


def write_given(
    run: RunFolder,
    predictions: Predictions,
    evaluation: Evaluation,
    facts: dict[str, str],
    *,
    clean: Evaluation | None = None,
) -> None:
    """Write somebody's predictions and their scores into a folder that a report can be made of.

    Args:
        facts: `source`, the name of the file that the predictions came from; `stamp` and `seen`, where the
            model was made with some of the images.
    """
    run.path.mkdir(parents=True, exist_ok=True)
    write_predictions(predictions, run.predictions(GIVEN))
    write_json(run.environment, describe_environment())
    _add_scores(run, GIVEN, evaluation, facts)
    if clean:
        _add_scores(run, CLEAN, clean, facts)


def evaluate_predictions(
    predictions: Predictions,
    source: str,
    *,
    table: pd.DataFrame | None = None,
    by: Literal["lesion", "image"] = "lesion",
) -> Evaluation:
    """Score predictions that know their truth and their lesions, or learn them from a table.

    Args:
        table: As `tables.read_table` returns it: truth and lesions where the predictions lack them, and
            subgroups.
        by: What is resampled. By image takes all photographs for independent: intervals come out too narrow.
    """
    if table is not None:
        predictions = join_table(predictions, table, "the table")
    if by == "image":
        predictions = replace(predictions, group=predictions.image_id)
    if predictions.y_true is None:
        raise DataError(f"{source}: the true diagnoses are missing. Pass --truth, or add the column y_true.")
    if predictions.group is None:
        raise DataError(
            f"{source}: the lesion of each image is missing. Pass --table with lesion_id, add the column "
            "group, or pass --by image for intervals that treat photographs as independent."
        )
    truth, prob, groups = predictions.y_true, predictions.y_prob, predictions.group
    try:
        evaluation = evaluate(truth, prob, groups)
    except ValueError as error:
        raise DataError(f"{source}: {error}") from error
    subgroups, gaps = [], []
    if table is not None:
        rows = rows_of(predictions, table, "the table")
        subgroups = evaluate_subgroups(truth, prob, groups, rows)
        gaps = evaluate_gaps(truth, prob, groups, rows)
    return replace(evaluation, resampled_by=by, subgroups=subgroups, gaps=gaps)


def verify_looked_at(run: RunFolder, part: str) -> None:
    """Make sure that `test` is used only after `evaluate --final` predicted it."""
    if part == "test" and not run.predictions("test").is_file():
        raise RunError(
            f'{run.path}: its test part was not evaluated yet. Run "lesionwise evaluate {run.path} --final", '
            "which records the look in the ledger."
        )


def verify_not_test(path: Path) -> None:
    """Refuse the test predictions of a run as an ordinary file: only `evaluate --final` reads them."""
    run = RunFolder(path.parent)
    if path.name == run.predictions("test").name and run.config.is_file():
        raise DataError(
            f'{path}: is the test part of a run. Run "lesionwise evaluate {path.parent} --final", which '
            "records the look in the ledger."
        )


def _check(run: RunFolder, path: Path, predictions: Predictions) -> CalibrationCheck | None:
    calibration, truth, groups = run_calibration(run), predictions.y_true, predictions.group
    if calibration is None or truth is None or groups is None:
        return None
    raw = raw_probabilities(predictions, path)
    return check_calibration(calibration, truth, raw, predictions.y_prob, groups)


def _add_scores(
    run: RunFolder,
    part: str,
    evaluation: Evaluation,
    facts: dict[str, str],
    check: CalibrationCheck | None = None,
) -> None:
    earlier = read_json(run.scores) if run.scores.exists() else {}
    parts = {**earlier.get("parts", {}), part: evaluation.to_json()}
    checks = {name: value for name, value in earlier.get("calibration", {}).items() if name != part}
    if check:
        checks[part] = check.to_json()
    measured = {"calibration": checks, STABILITY: earlier.get(STABILITY)}
    kept = {name: value for name, value in measured.items() if value}
    write_json(run.scores, {**facts, "parts": parts, **kept})
