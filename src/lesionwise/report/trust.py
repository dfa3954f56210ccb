"""Where the model looked and what breaks it, for the report, where a run has measured it.

Here: gathering what `lesionwise explain`, `robustness` and `stability` left. Not here: measuring.
"""

from collections.abc import Callable
from typing import Any, TypeVar

from markupsafe import Markup

from lesionwise.evaluation.robustness import describe_robustness, read_robustness
from lesionwise.evaluation.stability import describe_stability, read_stability
from lesionwise.explain.figures import explanation_figures
from lesionwise.explain.overlay import overlay_path
from lesionwise.explain.record import describe_explanation, read_explanation
from lesionwise.page.embed import data_uri
from lesionwise.page.figure_file import write_figure
from lesionwise.report.robustness_figure import plot_robustness, robustness_table
from lesionwise.report.stability_figure import plot_stability, stability_table
from lesionwise.run_folder import RunFolder

Measured = TypeVar("Measured")


def explanation_facts(run: RunFolder, part: str, drawn: dict[str, Markup]) -> dict[str, Any] | None:
    """Return what the tests of the maps gave, and draw their figures; None where nothing was measured.

    Args:
        run: A run.
        part: The part that the report is about; where it was not explained, val or cal is shown.
        drawn: Figures of the page by name; those of the tests are added.
    """
    name, found = shown_part(read_explanation, run, part)
    if not found:
        return None
    drawn |= explanation_figures(run.figures, name, found)
    return {"part": name, "found": found, "sentences": describe_explanation(found)}


def robustness_facts(run: RunFolder, part: str, drawn: dict[str, Markup]) -> dict[str, Any] | None:
    """Return what changed photographs cost, and draw the figure; None where it was not measured.

    Args:
        run: A run.
        part: The part that the report is about; where it was not measured, val or cal is shown.
        drawn: Figures of the page by name; that of the changes is added.
    """
    name, found = shown_part(read_robustness, run, part)
    if not found:
        return None
    table = robustness_table(found)
    title = "Balanced accuracy lost on photographs changed in ten ways at three strengths"
    figure = plot_robustness(table)
    drawn["robustness"] = write_figure(run.figures, f"robustness-{name}", figure, table, title)
    return {"part": name, "found": found, "sentences": describe_robustness(found)}


def shown_part(
    read: Callable[[RunFolder, str], Measured | None], run: RunFolder, part: str
) -> tuple[str, Measured | None]:
    """Return the part that a measurement is shown for, and the measurement; None where none was made.

    Args:
        read: Reads the measurement of a part.
        run: A run.
        part: The part that the page is about; where it was not measured, val is shown, else cal.
    """
    found = ((name, read(run, name)) for name in (part, "val", "cal"))
    return next((pair for pair in found if pair[1]), (part, None))


def stability_facts(run: RunFolder, drawn: dict[str, Markup]) -> dict[str, Any] | None:
    """Return how often answers stay the same on `cal`, and draw the figure; None where it was not measured.

    Args:
        run: A run.
        drawn: Figures of the page by name; that of the changes is added.
    """
    found = read_stability(run)
    if found is None:
        return None
    table = stability_table(found)
    title = "Share of the images whose answer stays the same when the picture hardly changes"
    drawn["stability"] = write_figure(run.figures, "stability-cal", plot_stability(table), table, title)
    return {"found": found, "sentences": describe_stability(found)}


def overlays(run: RunFolder, part: str, image_ids: list[str]) -> dict[str, str]:
    """Return the maps in colour of those images that have one, as data addresses."""
    paths = {name: overlay_path(run.overlays / part, name, "colour") for name in image_ids}
    return {name: data_uri(path.read_bytes()) for name, path in paths.items() if path.is_file()}
