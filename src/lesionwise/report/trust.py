"""Where the model looked and what breaks it, for the report, where a run has measured it.

Here: gathering what `lesionwise explain` and `lesionwise robustness` left. Not here: measuring.
"""

from typing import Any

from markupsafe import Markup

from lesionwise.evaluation.robustness import describe_robustness, read_robustness
from lesionwise.explain.figures import explanation_figures
from lesionwise.explain.overlay import overlay_path
from lesionwise.explain.record import describe_explanation, read_explanation
from lesionwise.page.embed import data_uri
from lesionwise.page.figure_file import write_figure
from lesionwise.report.robustness_figure import plot_robustness, robustness_table
from lesionwise.run_folder import RunFolder


def explanation_facts(run: RunFolder, part: str, drawn: dict[str, Markup]) -> dict[str, Any] | None:
    """Return what the tests of the maps gave, and draw their figures; None where nothing was measured.

    Args:
        run: A run.
        part: The part that the report is about; where it was not explained, val is shown.
        drawn: Figures of the page by name; those of the tests are added.
    """
    for name in dict.fromkeys((part, "val")):
        found = read_explanation(run, name)
        if found:
            drawn |= explanation_figures(run.figures, name, found)
            return {"part": name, "found": found, "sentences": describe_explanation(found)}
    return None


def robustness_facts(run: RunFolder, part: str, drawn: dict[str, Markup]) -> dict[str, Any] | None:
    """Return what changed photographs cost, and draw the figure; None where it was not measured.

    Args:
        run: A run.
        part: The part that the report is about; where it was not measured, val is shown.
        drawn: Figures of the page by name; that of the changes is added.
    """
    for name in dict.fromkeys((part, "val")):
        found = read_robustness(run, name)
        if found:
            table = robustness_table(found)
            title = "Balanced accuracy lost on photographs changed in ten ways at three strengths"
            figure = plot_robustness(table)
            drawn["robustness"] = write_figure(run.figures, f"robustness-{name}", figure, table, title)
            return {"part": name, "found": found, "sentences": describe_robustness(found)}
    return None


def overlays(run: RunFolder, part: str, image_ids: list[str]) -> dict[str, str]:
    """Return the maps in colour of those images that have one, as data addresses."""
    paths = {name: overlay_path(run.overlays / part, name, "colour") for name in image_ids}
    return {name: data_uri(path.read_bytes()) for name, path in paths.items() if path.is_file()}
