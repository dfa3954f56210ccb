"""The part of the report that says what the probabilities are good for."""

from typing import Any

import pandas as pd

from lesionwise.evaluation.calibration.check import CalibrationCheck
from lesionwise.evaluation.calibration.conformal import least_lesions
from lesionwise.evaluation.calibration.decision_curve import decision_curve_table
from lesionwise.evaluation.calibration.record import Calibration
from lesionwise.evaluation.calibration.scaling import stops_at_limit
from lesionwise.evaluation.runs.evaluated import EvaluatedRun
from lesionwise.evaluation.scores.curves import reliability_table
from lesionwise.evaluation.scores.selective import risk_coverage_table
from lesionwise.page.theme import Drawing
from lesionwise.report import curve_figures


def confidence_drawings(found: EvaluatedRun, reliability: pd.DataFrame) -> dict[str, Drawing]:
    """Return figure, table and title of each drawing; none without predictions."""
    sample, check, calibration = found.sample, found.check, found.calibration
    if sample is None:
        return {}
    truth, _, groups = sample
    before = None if found.raw_prob is None else reliability_table(truth, found.raw_prob, groups)
    both = reliability.assign(stage="after")
    if before is not None:
        both = pd.concat([before.assign(stage="before"), both])
    decision, risk = decision_curve_table(*sample), risk_coverage_table(*sample)
    drawings: dict[str, Drawing] = {
        "reliability": (curve_figures.plot_reliability(reliability, before), both,
                        "Accuracy at each level of stated confidence"),
        "decision-curve": (curve_figures.plot_decision_curve(decision), decision,
                           "Net benefit of acting on the model at each threshold"),
        "risk-coverage": (curve_figures.plot_risk_coverage(risk), risk,
                          "Error among the images that are answered"),
    }  # fmt: skip
    if check and calibration and check.coverage:
        table, promised = pd.DataFrame(check.coverage), calibration.prediction_sets.coverage
        drawings["set-coverage"] = (curve_figures.plot_coverage(table, promised), table,
                                    "Lesions whose prediction sets hold their diagnosis")  # fmt: skip
    return drawings


def confidence_facts(found: EvaluatedRun) -> dict[str, Any] | None:
    """Return what the page says in words and tables; None for a model without a calibration."""
    if found.check is None or found.calibration is None:
        return None
    return {**calibration_facts(found.check, found.calibration), "questions": curve_figures.QUESTIONS}


def calibration_facts(check: CalibrationCheck | None, calibration: Calibration) -> dict[str, Any]:
    """Return a calibration and what to say of it."""
    sets = calibration.prediction_sets
    shares, coverage = (check.shares, check.coverage) if check else ([], [])
    return {
        "check": check,
        "calibration": calibration,
        "scaling": calibration.scaling,
        "stops_at_limit": stops_at_limit(calibration.scaling),
        "least_lesions": least_lesions(sets.coverage),
        "sets": sets,
        "unpromised": {
            code: fitted.lesions for code, fitted in sets.classes.items() if isinstance(fitted.quantile, str)
        },
        "off": [row["diagnosis"] for row in shares if not row["low"] <= 0 <= row["high"]],
        "broken": [row["diagnosis"] for row in coverage if row["coverage"] < row["low"]],
    }
