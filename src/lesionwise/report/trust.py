"""What the probabilities are good for, where the model looked and what breaks it: parts of the report."""

from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from markupsafe import Markup
from matplotlib.figure import Figure

from lesionwise.encoding import data_uri
from lesionwise.evaluation.calibration.check import CalibrationCheck
from lesionwise.evaluation.calibration.conformal import least_lesions
from lesionwise.evaluation.calibration.decision_curve import decision_curve_table
from lesionwise.evaluation.calibration.record import Calibration
from lesionwise.evaluation.calibration.scaling import stops_at_limit
from lesionwise.evaluation.robustness import MAIN, Robustness, describe_robustness
from lesionwise.evaluation.runs.evaluated import EvaluatedRun
from lesionwise.evaluation.scores.curves import reliability_table, risk_coverage_table
from lesionwise.evaluation.stability import ASPECTS, Stability, describe_stability, read_stability
from lesionwise.explain.overlay import overlay_path
from lesionwise.explain.page import explanation_drawings
from lesionwise.explain.record import Explanation, describe_explanation
from lesionwise.files import Record, read_part
from lesionwise.page.palette import LIGHT
from lesionwise.page.theme import DASHED, Drawing, figure_style, new_figure, write_figures
from lesionwise.report import figures
from lesionwise.run_folder import RunFolder

_COLUMNS: Final = 5
_MARKS: Final = {"top": ("accent", "o"), "decision": ("quiet", "s"), "melanoma": ("alert", "D")}


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
        "reliability": (figures.plot_reliability(reliability, before), both,
                        "Accuracy at each level of stated confidence"),
        "decision-curve": (figures.plot_decision_curve(decision), decision,
                           "Net benefit of acting on the model at each threshold"),
        "risk-coverage": (figures.plot_risk_coverage(risk), risk,
                          "Error among the images that are answered"),
    }  # fmt: skip
    if check and calibration and check.coverage:
        table, promised = pd.DataFrame(check.coverage), calibration.prediction_sets.coverage
        drawings["set-coverage"] = (figures.plot_coverage(table, promised), table,
                                    "Lesions whose prediction sets hold their diagnosis")  # fmt: skip
    return drawings


def calibration_facts(check: CalibrationCheck | None, calibration: Calibration) -> dict[str, Any]:
    """Return a calibration and the statements about it."""
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


def explanation_facts(run: RunFolder, part: str, drawn: dict[str, Markup]) -> dict[str, Any] | None:
    """Return what the tests of the maps gave, and draw their figures; None where nothing was measured."""
    name, found = shown_part(run.explanation, part, Explanation)
    if not found:
        return None
    drawn |= write_figures(run.figures, explanation_drawings(found), name)
    return {"part": name, "found": found, "sentences": describe_explanation(found)}


def robustness_facts(run: RunFolder, part: str, drawn: dict[str, Markup]) -> dict[str, Any] | None:
    """Return what changed photographs cost, and draw the figure; None where it was not measured."""
    name, found = shown_part(run.robustness, part, Robustness)
    if not found:
        return None
    table = robustness_table(found)
    title = "Balanced accuracy lost on photographs changed in ten ways at three strengths"
    drawn |= write_figures(run.figures, {"robustness": (plot_robustness(table), table, title)}, name)
    return {"part": name, "found": found, "sentences": describe_robustness(found)}


def shown_part(path: Path, part: str, kind: type[Record]) -> tuple[str, Record | None]:
    """Return the part, else val, else cal, that has a measurement, and the measurement or None."""
    found = ((name, read_part(path, name, kind)) for name in (part, "val", "cal"))
    return next((pair for pair in found if pair[1]), (part, None))


def stability_facts(run: RunFolder, drawn: dict[str, Markup]) -> dict[str, Any] | None:
    """Return how often answers stay the same on `cal`, and draw the figure; None if not measured."""
    found = read_stability(run)
    if found is None:
        return None
    table = stability_table(found)
    title = "Share of the images whose answer stays the same when the picture hardly changes"
    drawn |= write_figures(run.figures, {"stability": (plot_stability(table), table, title)}, "cal")
    return {"found": found, "sentences": describe_stability(found)}


def overlays(run: RunFolder, part: str, image_ids: list[str]) -> dict[str, str]:
    """Return the maps in colour of those images that have one, as data addresses."""
    paths = {name: overlay_path(run.overlays / part, name, "colour") for name in image_ids}
    return {name: data_uri(path.read_bytes()) for name, path in paths.items() if path.is_file()}


def robustness_table(found: Robustness) -> pd.DataFrame:
    """Return the loss of the main score by change and strength, with both intervals."""
    return pd.DataFrame(
        [
            {
                "change": row.name,
                "strength": row.strength,
                MAIN: row.scores[MAIN],
                "difference": row.differences[MAIN].value,
                "low": row.differences[MAIN].low,
                "high": row.differences[MAIN].high,
                "low_together": row.together.low,
                "high_together": row.together.high,
                "macro_auc_difference": row.differences["macro_auc"].value,
                "same_answer": row.same_answer,
            }
            for row in found.changed
        ]
    )


def plot_robustness(table: pd.DataFrame) -> Figure:
    """Draw the loss at each strength, a panel for each change; filled where it is beyond chance."""
    names = list(dict.fromkeys(table["change"]))
    rows = -(-len(names) // _COLUMNS)
    with figure_style():
        figure = Figure(figsize=(9.6, 2.35 * rows))
        panels = np.ravel(figure.subplots(rows, _COLUMNS, sharex=True, sharey=True, squeeze=False))
        for axes, name in zip(panels, names, strict=False):
            lines = table[table["change"] == name]
            axes.axhline(0, **DASHED)
            axes.plot([0, *lines["strength"]], [0, *lines["difference"]], color=LIGHT["accent"], lw=1)
            for _, line in lines.iterrows():
                beyond = line["high_together"] < 0
                color = LIGHT["alert"] if beyond else LIGHT["accent"]
                at = [line["strength"]] * 2
                axes.plot(at, [line["low"], line["high"]], color=color, lw=2.4, alpha=0.5)
                face = color if beyond else LIGHT["ground"]
                axes.plot(at[0], line["difference"], "o" if beyond else "s", color=color, mfc=face, ms=5.5)
            axes.set(title=name, xlim=(-0.3, 3.4))
            axes.set_xticks([0, 1, 2, 3])
        for axes in panels[len(names) :]:
            axes.set_axis_off()
        for axes in panels[::_COLUMNS]:
            axes.set_ylabel("change of the score")
        for axes in panels[-_COLUMNS:]:
            axes.set_xlabel("strength")
    return figure


def stability_table(found: Stability) -> pd.DataFrame:
    """Return the share of the images that stay the same, by change and by what stays."""
    return pd.DataFrame(
        [
            {
                "change": change,
                "what": ASPECTS[aspect],
                "same": share.value,
                "low": share.low,
                "high": share.high,
            }
            for change, kept in found.changes.items()
            for aspect, share in kept.shares.items()
        ]
    )


def plot_stability(table: pd.DataFrame) -> Figure:
    """Draw the share of the images that each change leaves as they are, a row for each change."""
    changes = list(dict.fromkeys(table["change"]))
    with new_figure(7.2, 0.9 + 0.36 * len(changes)) as (figure, axes):
        for offset, (aspect, title) in enumerate(ASPECTS.items()):
            rows = table[table["what"] == title]
            colour, mark = _MARKS[aspect]
            heights = np.array([changes.index(change) for change in rows["change"]]) + 0.24 * (offset - 1)
            axes.hlines(heights, rows["low"], rows["high"], color=LIGHT[colour], lw=2, alpha=0.5)
            axes.plot(rows["same"], heights, mark, color=LIGHT[colour], ms=4.5, label=title)
        axes.set_yticks(range(len(changes)), changes)
        axes.set(xlim=(None, 1.002), xlabel="share of the images that stay the same")
        axes.invert_yaxis()
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3)
    return figure
