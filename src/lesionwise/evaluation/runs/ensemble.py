"""An ensemble: the mean of what several runs on one split answer.

Not here: predicting the test part with all of them (`lesionwise.training.ledger`).

The folder is a run folder without weights: evaluate, report, compare and calibrate take it as any other. Its
`logit_` columns are the logarithms of the mean probabilities.
"""

import json
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Final

import numpy as np

from lesionwise.arrays import Floats
from lesionwise.errors import RunError
from lesionwise.evaluation.calibration.record import softmax
from lesionwise.evaluation.predictions import Predictions, write_predictions
from lesionwise.evaluation.runs.predictions import read_run_predictions, run_calibration
from lesionwise.evaluation.runs.scores import OUT_OF_FOLD
from lesionwise.files import file_sha256, read_json, write_json, write_text
from lesionwise.run_folder import RunFolder, claim_own_folder, open_run_folder, verify_same_split
from lesionwise.run_record import describe_environment

PARTS: Final = ("val", "cal", OUT_OF_FOLD)
"""What is averaged when the ensemble is made; the test part only when it is asked for."""
_TINY: Final = 1e-12  # keeps the logarithm finite


def claim_ensemble_folder(path: Path, runs: Sequence[RunFolder] = ()) -> RunFolder:
    """Return the folder of a new ensemble, or of one that was stopped before it was complete.

    Args:
        runs: The members. An ensemble of the same that was not scored yet is made again.
    """
    out = RunFolder(path)
    claim_own_folder(out.ensemble, what="unfinished ensemble")
    if out.ensemble.is_file():
        record = read_json(out.ensemble)
        same = [member["run"] for member in record["members"]] == [str(run.path.resolve()) for run in runs]
        written = all(out.predictions(part).is_file() for part in record["parts"])
        if written and (out.scores.is_file() or not same):
            raise RunError(f"{path}: holds an ensemble already. Pass another --out.")
    return out


def make_ensemble(runs: Sequence[RunFolder], out: RunFolder) -> list[str]:
    """Average the answers of runs on one split, each calibrated if the run is; return the parts."""
    _verify_different(runs)
    verify_same_split(runs)
    parts = _common_parts(runs)
    averaged = {part: average(runs, part) for part in parts}  # before anything is written
    members = [str(run.path.resolve()) for run in runs]
    facts = [
        {"run": member, "calibrated": is_calibrated(run), "state": _state(run)}
        for member, run in zip(members, runs, strict=True)
    ]
    write_json(out.ensemble, {"members": facts, "parts": parts})  # first: it makes the folder an ensemble's
    write_text(out.config, f"ensemble = {json.dumps(members, ensure_ascii=False)}\n")
    for name in ("split.csv", "split.json"):
        write_text(out.path / name, (runs[0].path / name).read_text(encoding="utf-8"))
    write_json(out.environment, describe_environment())
    for part, predictions in averaged.items():
        write_predictions(predictions, out.predictions(part))
    return parts


def ensemble_members(run: RunFolder) -> list[RunFolder]:
    """Return the runs that an ensemble was made of; none if it is no ensemble.

    Raises:
        RunError: If one of them is no longer there, or was trained or calibrated again since: the averages
            that are written would be of another model than those to come.
    """
    if not run.ensemble.is_file():
        return []
    found = []
    for member in read_json(run.ensemble)["members"]:
        own = open_run_folder(Path(member["run"]))
        if member.get("state", _state(own)) != _state(own):
            raise RunError(
                f"{own.path}: was trained or calibrated again after {run.path} was made from it. "
                'Make the ensemble again with "lesionwise ensemble" and another --out.'
            )
        found.append(own)
    return found


def made_of(run: RunFolder) -> list[RunFolder]:
    """Return the members of an ensemble, or the run itself if it is none."""
    return ensemble_members(run) or [run]


def is_calibrated(run: RunFolder) -> bool:
    """Return whether what a run answers is calibrated: by itself, by its folds, or by its members."""
    inner = _inside(run)
    return run.calibration.is_file() or (bool(inner) and all(is_calibrated(own) for own in inner))


def average(runs: Sequence[RunFolder], part: str) -> Predictions:
    """Return the mean probabilities of a part."""
    first, *others = [read_run_predictions(run, part).sorted() for run in runs]
    for run, other in zip(runs[1:], others, strict=True):
        for what, ours, theirs in (
            ("images", first.image_id, other.image_id),
            ("true diagnoses", first.y_true, other.y_true),
            ("lesions", first.group, other.group),
        ):
            if not np.array_equal(ours, theirs):  # type: ignore[arg-type] # None equals None
                raise RunError(f"{run.path}: has other {what} in {part} than {runs[0].path}.")
    logits = mean_logits([predictions.y_prob for predictions in (first, *others)])
    return Predictions(first.image_id, softmax(logits), first.y_true, first.group, logits)


def mean_logits(y_probs: Sequence[Floats]) -> Floats:
    """Return the raw outputs of an ensemble, log of the mean of its members' probabilities, shape (N, C)."""
    return np.asarray(np.log(np.maximum(np.mean(y_probs, axis=0), _TINY)))


def trained_runs(run: RunFolder) -> list[RunFolder]:
    """Return the runs whose weights answer: of an ensemble its members', of a cross-validation its folds'."""
    return [trained for inner in _inside(run) for trained in trained_runs(inner)] or [run]


def _inside(run: RunFolder) -> list[RunFolder]:
    """Return the finished folds of a cross-validation, or the members of an ensemble."""
    done = read_json(run.cross_validation)["done"] if run.cross_validation.is_file() else []
    return [*(run.fold(number) for number in done), *ensemble_members(run)]


def _state(run: RunFolder) -> str:
    """Return the hash of what a run's probabilities depend on: weights and scaling, also of runs inside."""
    found = sha256()
    best, calibration = run.best, run_calibration(run)
    if best.is_file():
        found.update(file_sha256(best).encode())
    if calibration:
        found.update(f"{calibration.fingerprint} {calibration.scaling.model_dump_json()}".encode())
    for inner in _inside(run):
        found.update(_state(inner).encode())
    return found.hexdigest()


def _verify_different(runs: Sequence[RunFolder]) -> None:
    paths = [run.path.resolve() for run in runs]
    if len(paths) < 2:  # noqa: PLR2004 (one is no ensemble)
        raise RunError("Expected two runs or more but got one.")
    twice = next((path for path in paths if paths.count(path) > 1), None)
    if twice:
        raise RunError(f"{twice}: is named twice. Name each run once.")


def _common_parts(runs: Sequence[RunFolder]) -> list[str]:
    has = [[part for part in PARTS if run.predictions(part).is_file()] for run in runs]
    for run, parts in zip(runs, has, strict=True):
        if not {"cal", OUT_OF_FOLD} & set(parts):  # the last that a run and a cross-validation predict
            found = ", ".join(parts) or "nothing"
            raise RunError(
                f"{run.path}: has only predictions of {found}. Finish its training, or leave it out."
            )
    for run, parts in zip(runs, has, strict=True):
        if parts != has[0]:
            raise RunError(
                f"{run.path}: has predictions of {', '.join(parts)}, but {runs[0].path} of "
                f"{', '.join(has[0])}. Combine runs that trained on val, or cross-validations, only with one "
                "another."
            )
    return has[0]
