"""`lesionwise bundle show`: what a bundle states about itself, as a table and as JSON."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from lesionwise.cli.console import fact_table, print_result
from lesionwise.cli.options import BundleArgument, model_option
from lesionwise.wording import counted

if TYPE_CHECKING:
    from lesionwise.bundle.description import Description, PrecisionCheck
    from lesionwise.bundle.load import Bundle
    from lesionwise.evaluation.calibration.record import Calibration

_SCORES = ("balanced_accuracy", "accuracy", "macro_auc", "log_loss", "ece")


def show(
    path: BundleArgument = None,
    against: Annotated[
        Path | None, model_option("--against", "An older bundle: show only what changed since then.")
    ] = None,
) -> None:
    """Check a model file, and show what it states: scores, calibration, data, licence, card."""
    from lesionwise.bundle.claims import moved_claims
    from lesionwise.bundle.load import read_bundle

    bundle = read_bundle(path)
    if against is not None:
        moved = moved_claims(read_bundle(against).description, bundle.description)
        lines = [f"{row.claim}: {row.old} → {row.new}" for row in moved] or ["Nothing changed."]
        print_result("\n".join(lines), {"moved": [row._asdict() for row in moved]})
        return
    print_result(_describe(bundle), bundle_record(bundle))


def bundle_record(bundle: "Bundle") -> dict[str, Any]:
    """Return what `--json` prints about a bundle."""
    return {
        "path": str(bundle.path),
        "bytes": len(bundle.content),
        "sha256": bundle.sha256,
        "description": bundle.description.model_dump(mode="json"),
    }


def _describe(bundle: "Bundle") -> Group:
    from lesionwise.bundle.rendering import warnings_about

    description = bundle.description
    warnings = [Text(warning, style="bold red") for warning in warnings_about(description)]
    parts: list[Any] = [*warnings, fact_table(_facts(bundle))]
    if description.scores:
        parts += ["", _score_table(description)]
    if description.card:
        parts += ["", Text(description.card.strip())]
    return Group(*parts)


def _facts(bundle: "Bundle") -> dict[str, str]:
    description = bundle.description
    made = description.provenance
    check = description.precision_check
    changed = f"{check.changed:,} of {counted(check.images, 'decision')} on cal changed" if check else ""
    view = description.input
    facts = {
        "model": f"{description.name} ({description.origin}, {len(bundle.content) / 1e6:.1f} MB)",
        "sha256": bundle.sha256,
        "exported": f"{description.created} by lesionwise {description.package_version}",
        "licence": description.licence or "not stated",
        "image": f"{view.height}x{view.width} px by {'+'.join((view.rule, *view.steps))}",
        "outputs": ", ".join(description.outputs),
        **_looks(description.second_look),
        "precision": f"{description.precision} ({changed}{_close_calls(check)})"
        if check
        else description.precision,
        **_precision_facts(description),
        **_calibration_facts(description.calibration),
    }
    if made:
        counts = f"{counted(made.images, 'image')} of {counted(made.lesions, 'lesion')}"
        facts["data"] = f"{counts}, {made.data_fingerprint[:12]}"
        facts["split"] = made.split_fingerprint[:12]
    return facts


def _looks(second_look: float) -> dict[str, str]:
    if not second_look:
        return {}
    return {
        "second look": f"at the mirror image, if the two largest logits differ by less than {second_look:g}"
    }


def _precision_facts(description: "Description") -> dict[str, str]:
    from lesionwise.bundle.precision import gains_enough, keeps_promise

    found = {}
    for name, check in description.precisions.items():
        change = check.balanced_accuracy_change or 0
        fit = "auto may choose it" if gains_enough(check) else "too slow for auto"
        auto = fit if keeps_promise(check) else "too much for auto"
        if check.pace is not None:
            auto += f"; {check.pace:.2f} times the pace of fp32"
        found[f"in {name}"] = (
            f"{check.changed:,} of {counted(check.images, 'answer')} on cal changed, "
            f"{check.top_changed or 0:,} of them in the diagnosis, and balanced accuracy by {change:+.4f}: "
            f"{auto}{_close_calls(check)}"
        )
    return found


def _close_calls(check: "PrecisionCheck") -> str:
    if check.margin is None:
        return ""
    within = f"within {check.margin:.3f} in log-odds"
    return f"; {check.computed_again or 0:,} close calls ({within}) computed again in fp32"


def _calibration_facts(calibration: "Calibration | None") -> dict[str, str]:
    if calibration is None:
        return {"calibration": "none: the probabilities are raw and may be too high or too low"}
    sets = calibration.prediction_sets
    unpromised = [code for code, found in sets.classes.items() if isinstance(found.quantile, str)]
    points = [
        f"{point.question} from {point.threshold:.3f} ({point.aim} {100 * point.at_least:g}%)"
        for point in calibration.operating_points
        if not isinstance(point.threshold, str)
    ]
    return {
        "calibration": f"{calibration.scaling.method}, on {counted(calibration.lesions, 'lesion')}",
        "sets": f"{sets.rule}, {100 * sets.coverage:g}% of each diagnosis"
        + (f" (no promise for {', '.join(unpromised)})" if unpromised else ""),
        "thresholds": "; ".join(points) or "none",
    }


def _score_table(description: "Description") -> Table:
    table = Table(box=None, pad_edge=False, title_justify="left")
    table.add_column("score, 95 % interval")
    for part, scores in description.scores.items():
        table.add_column(f"{part}: {counted(scores.images, 'image')} of {counted(scores.lesions, 'lesion')}")
    for name in _SCORES:
        cells = [scores.overall.get(name) for scores in description.scores.values()]
        table.add_row(name.replace("_", " "), *(str(cell) if cell else "" for cell in cells))
    return table
