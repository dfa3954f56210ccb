"""What a calibration is worth on images that it was not fitted on: `scores.json` holds it by part.

Not here: fitting (`evaluation.runs.calibrate`) and the report.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from lesionwise.evaluation.calibration.conformal import set_coverage_table, set_sizes
from lesionwise.evaluation.calibration.operating_points import measure_point
from lesionwise.evaluation.calibration.record import Calibration
from lesionwise.evaluation.scores import probability
from lesionwise.evaluation.scores.bootstrap import (
    RESAMPLES,
    Estimate,
    draw_means,
    percentile_interval,
    spread_estimate,
)
from lesionwise.evaluation.scores.evaluate import draw_scores
from lesionwise.evaluation.scores.probability import EceBand, ece_band
from lesionwise.evaluation.scores.weights import Lesions, Probs, Truth, check_arguments
from lesionwise.files import JsonRecord
from lesionwise.labels import CODES

_LOSSES = {"log_loss": probability.log_loss, "brier": probability.brier_loss}


@dataclass(frozen=True)
class CalibrationCheck(JsonRecord):
    """The promises of a calibration, and what was measured.

    Attributes:
        fingerprint: Fingerprint of the calibration (what it was fitted on).
        before: Log loss, Brier score and calibration error of the raw outputs.
        after: The same of the calibrated probabilities.
        band: The plain calibration error after, beside that of a perfectly calibrated model.
        coverage: Rows of `conformal.set_coverage_table`.
        sizes: As `conformal.set_sizes` returns them.
        points: Each operating point as the calibration has it, with `found`: what was measured.
        scaling: As the calibration has it; None in older files.
    """

    fingerprint: str
    before: dict[str, Estimate]
    after: dict[str, Estimate]
    shares: list[dict[str, Any]]
    band: EceBand
    coverage: list[dict[str, Any]]
    sizes: dict[str, float]
    points: list[dict[str, Any]]
    scaling: dict[str, Any] | None = None
    prediction_sets: dict[str, Any] | None = None

    @property
    def method(self) -> str | None:
        """Name of the scaling, None if it was not noted."""
        return self.scaling["method"] if self.scaling else None

    def is_of(self, calibration: Calibration) -> bool:
        """Return whether the probabilities that were checked are those of a calibration.

        Where no scaling was noted, the thresholds are compared: another scaling gives other thresholds.
        """
        if self.fingerprint != calibration.fingerprint:
            return False
        if self.scaling is not None:
            return self.scaling == calibration.scaling.model_dump(mode="json")
        return bool(self.points) and self._has_thresholds_of(calibration)

    def decides_as(self, calibration: Calibration) -> bool:
        """Return whether the thresholds and sets that were checked are those of a calibration, too.

        One scaling allows several. Where no sets were noted, only the thresholds are compared.
        """
        sets = calibration.prediction_sets.model_dump(mode="json")
        return self._has_thresholds_of(calibration) and self.prediction_sets in (None, sets)

    def _has_thresholds_of(self, calibration: Calibration) -> bool:
        noted = [point["threshold"] for point in self.points]
        return noted == [point.threshold for point in calibration.operating_points]


def check_calibration(
    calibration: Calibration,
    y_true: Truth,
    raw_prob: ArrayLike,
    y_prob: Probs,
    groups: Lesions,
    *,
    resamples: int = RESAMPLES,
) -> CalibrationCheck:
    """Measure a calibration on images that it was not fitted on."""
    truth, prob = check_arguments(y_true, y_prob)
    coverage = set_coverage_table(calibration.prediction_sets, truth, prob, groups)
    shares = stated_share_table(truth, prob, groups, resamples=resamples)
    points = []
    for point in calibration.operating_points:
        found = measure_point(point, truth, prob, groups, resamples=resamples)
        points.append({**point.model_dump(), "found": {name: vars(value) for name, value in found.items()}})
    return CalibrationCheck(
        fingerprint=calibration.fingerprint,
        before=_losses(truth, raw_prob, groups, resamples),
        after=_losses(truth, prob, groups, resamples),
        band=ece_band(truth, prob, groups, resamples=resamples),
        shares=_records(shares),
        coverage=_records(coverage),
        sizes=set_sizes(calibration.prediction_sets, prob),
        points=points,
        scaling=calibration.scaling.model_dump(mode="json"),
        prediction_sets=calibration.prediction_sets.model_dump(mode="json"),
    )


def stated_share_table(
    y_true: Truth, y_prob: Probs, groups: Lesions, *, resamples: int = RESAMPLES
) -> pd.DataFrame:
    """Return how common each diagnosis is stated to be on average, and how common it is.

    The calibration error looks at the likeliest diagnosis alone. A model that saw rare diagnoses more often
    than they occur gives them too high a probability in every image, and a temperature cannot correct that.

    Returns:
        A row per diagnosis: `diagnosis`, `stated` (mean probability), `found` (its part of the images),
        `excess` (stated less found), `low` and `high` (95 % interval of the excess, all lesions resampled
        alike: how many there are of a diagnosis is chance here).
    """
    truth, prob = check_arguments(y_true, y_prob)
    excess = prob - np.eye(len(CODES))[truth]
    one_stratum = np.zeros(len(truth), np.int64)
    low, high = percentile_interval(draw_means(excess, groups, one_stratum, resamples=resamples))
    stated, found = prob.mean(axis=0), np.bincount(truth, minlength=len(CODES)) / len(truth)
    return pd.DataFrame(
        {"diagnosis": CODES, "stated": stated, "found": found, "excess": stated - found, "low": low,
         "high": high}
    )  # fmt: skip


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(name): value for name, value in row.items()} for row in table.to_dict("records")]


def _losses(y_true: Truth, y_prob: Probs, groups: Lesions, resamples: int) -> dict[str, Estimate]:
    measures = {**_LOSSES, "gaps": probability.calibration_gaps}
    drawn = draw_scores(measures, y_true, y_prob, groups, resamples=resamples)
    found = {name: spread_estimate(float(of(y_true, y_prob)), drawn[name]) for name, of in _LOSSES.items()}
    gaps = probability.calibration_gaps(y_true, y_prob)
    return {**found, "ece": probability.calibration_estimate(gaps, drawn["gaps"])}
