"""The stage that fits on `cal` and writes `calibration.json`.

Here: the order of fitting. Not here: the parts (`scaling`, `conformal`, `operating_points`) and their
results on other images (`calibration.check`).
"""

import tomllib
from collections.abc import Sequence
from hashlib import sha256
from typing import Final, Literal

import numpy as np

from lesionwise.errors import RunError
from lesionwise.evaluation.calibration.conformal import fit_prediction_sets
from lesionwise.evaluation.calibration.operating_points import DEFAULT_POINTS, Wish, choose_point
from lesionwise.evaluation.calibration.record import Calibration, Rule
from lesionwise.evaluation.calibration.scaling import fit_temperature, fit_vector
from lesionwise.evaluation.predictions import Predictions, read_predictions
from lesionwise.evaluation.runs.predictions import refresh_all_predictions
from lesionwise.evaluation.scores.bootstrap import RESAMPLES
from lesionwise.evaluation.stability import drop_stability
from lesionwise.files import write_json
from lesionwise.run_folder import RunFolder, read_split_facts

Method = Literal["temperature", "vector"]
COVERAGE: Final = 0.9


def calibrate_run(
    run: RunFolder,
    *,
    method: Method | None = None,
    rule: Rule = "lac",
    coverage: float = COVERAGE,
    points: Sequence[Wish] = DEFAULT_POINTS,
) -> Calibration:
    """Fit on the `cal` predictions of a run and write `calibration.json`; `test` is not read.

    The `prob_` columns of all predictions that are there are brought up to date, also those of test: this
    uses only its logits and does not look at its true diagnoses.
    """
    path, split = run.predictions("cal"), read_split_facts(run)
    config = tomllib.loads(run.config.read_text(encoding="utf-8"))  # that of an ensemble names no method
    stated: Method = "vector" if config.get("calibration") == "vector" else "temperature"
    try:
        calibration = calibrate(
            read_predictions(path),
            method=method or stated,
            rule=rule,
            coverage=coverage,
            points=points,
            split_fingerprint=split["fingerprint"],
        )
    except ValueError as error:
        raise RunError(f"{path}: {error}") from error
    calibration = calibration.model_copy(update={"stamp": split.get("stamp")})
    write_json(run.calibration, calibration.model_dump(mode="json"))
    refresh_all_predictions(run)
    drop_stability(run)
    return calibration


def calibrate(
    predictions: Predictions,
    *,
    method: Method = "temperature",
    rule: Rule = "lac",
    coverage: float = COVERAGE,
    points: Sequence[Wish] = DEFAULT_POINTS,
    split_fingerprint: str | None = None,
    resamples: int = RESAMPLES,
) -> Calibration:
    """Fit scaling, prediction sets and operating points on predictions that nothing else was fitted on."""
    truth, groups, logits = predictions.y_true, predictions.group, predictions.logits
    if truth is None or groups is None or logits is None:
        raise ValueError("Expected predictions with y_true, group and logits to calibrate on.")
    scaling = (fit_vector if method == "vector" else fit_temperature)(truth, logits, groups)
    prob = scaling.probabilities(logits)
    return Calibration(
        scaling=scaling,
        prediction_sets=fit_prediction_sets(truth, prob, groups, coverage=coverage, rule=rule),
        operating_points=tuple(
            choose_point(
                truth, prob, groups, question=question, aim=aim, at_least=at_least, resamples=resamples
            )
            for question, aim, at_least in points
        ),
        images=len(truth),
        lesions=len(np.unique(groups)),
        fingerprint=_fingerprint(predictions),
        split_fingerprint=split_fingerprint,
    )


def _fingerprint(predictions: Predictions) -> str:
    """Return the hash of what was fitted on; it does not depend on the order of the images."""
    order = np.argsort(predictions.image_id)
    found = sha256()
    for values in (predictions.image_id, predictions.group, predictions.y_true):
        found.update("\n".join(map(str, np.asarray(values)[order].tolist())).encode())
    found.update(np.asarray(predictions.logits, "<f8")[order].tobytes())
    return found.hexdigest()
