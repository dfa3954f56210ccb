"""The page of `lesionwise explain`: the results of the tests of the maps, and images with their maps."""

from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from lesionwise.encoding import data_uri
from lesionwise.explain.overlay import STYLES, overlay_path
from lesionwise.explain.record import MODES, Explanation, describe_explanation
from lesionwise.files import write_text
from lesionwise.page.heatmap import viridis
from lesionwise.page.palette import LIGHT
from lesionwise.page.shell import render_page
from lesionwise.page.theme import DASHED, Drawing, new_figure, write_figures
from lesionwise.run_folder import RunFolder

_SCALE_STEPS: Final = 8
_ORDERS: Final = {
    "own": ("the map's order", "accent", "-", "o"),
    "other": ("another image's map", "quiet", (0, (4, 2)), "s"),
    "random": ("random order", "quiet", (0, (1, 2)), "^"),
}
_TITLES: Final = {"deletion": "Painted over", "insertion": "Restored"}


def write_page(
    run: RunFolder, part: str, method: str, shown: pd.DataFrame, explanation: Explanation | None
) -> Path:
    """Write the page of a part, and return its path.

    Args:
        shown: Rows of the images to show: `image_id`, `true`, `predicted`, `confidence`, `share`, `area`.
    """
    folder = run.overlays / part
    pictures = {
        image_id: {style: data_uri(overlay_path(folder, image_id, style).read_bytes()) for style in STYLES}
        for image_id in shown["image_id"]
    }
    found = explanation.pointing if explanation else None
    page = render_page(
        "lesionwise.explain",
        "explanation.html",
        name=run.path.resolve().name,
        method=method,
        explanation=explanation,
        sentences=describe_explanation(explanation) if explanation else [],
        rows=[("all", found), *explanation.by_diagnosis.items()] if explanation and found else [],
        figures=write_figures(run.figures, explanation_drawings(explanation), part) if explanation else {},
        shown=shown.astype(object).where(shown.notna(), None).to_dict("records"),
        styles=STYLES,
        pictures=pictures,
        scale=_scale(),
    )
    path = run.overlays / f"{part}.html"
    write_text(path, page)
    return path


def _scale() -> str:
    """Return the colours of the scale as CSS, as transparent at the low end as over a photograph."""
    values = np.linspace(0, 1, _SCALE_STEPS + 1, dtype=np.float32)
    stops = zip(viridis(values).round().astype(int).tolist(), values.tolist(), strict=True)
    return ", ".join(f"rgba({red}, {green}, {blue}, {part:.2f})" for (red, green, blue), part in stops)


def explanation_drawings(explanation: Explanation) -> dict[str, Drawing]:
    """Return both figures of the tests, each with its table and its title."""
    curves, cascade = curve_table(explanation), cascade_table(explanation)
    return {
        "explanation-curves": (
            plot_curves(curves), curves,
            "Probability of the explained diagnosis as places are painted over or restored",
        ),
        "explanation-cascade": (
            plot_cascade(cascade), cascade,
            "Similarity of maps to those of the trained network as layers are shuffled",
        ),
    }  # fmt: skip


def curve_table(explanation: Explanation) -> pd.DataFrame:
    """Return the mean probability of the explained class at each step of each mode and order."""
    rows = []
    for name, curve in explanation.curves.items():
        mode, order = name.split("-")
        for part, value in zip(np.linspace(0, 1, len(curve)).tolist(), curve, strict=True):
            rows.append({"mode": mode, "order": order, "part": part, "probability": value})
    return pd.DataFrame(rows)


def plot_curves(table: pd.DataFrame) -> Figure:
    """Draw deletion and insertion side by side, a line for each order."""
    with new_figure(9.0, 3.3, 1, len(MODES), sharey=True) as (figure, panels):
        for axes, mode in zip(panels, MODES, strict=True):
            for order, (label, color, style, marker) in _ORDERS.items():
                line = table[(table["mode"] == mode) & (table["order"] == order)]
                look: dict[str, Any] = {"color": LIGHT[color], "ls": style, "marker": marker, "ms": 4}
                axes.plot(line["part"], line["probability"], label=label, **look)
            axes.set(title=_TITLES[mode], xlabel="part of the view", xlim=(-0.02, 1.02))
        top = max(0.6, float(table["probability"].max()) * 1.05)
        panels[0].set(ylabel="certainty of the answer", ylim=(0, min(1, top)))
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper left", ncols=len(labels), fontsize=9)
    return figure


def cascade_table(explanation: Explanation) -> pd.DataFrame:
    """Return the similarity after each stage of shuffling, with its interval."""
    return pd.DataFrame(
        [{"shuffled": stage["layers"], **vars(stage["similarity"])} for stage in explanation.cascade]
    )


def plot_cascade(table: pd.DataFrame) -> Figure:
    """Draw the similarity after each stage as a point with its interval."""
    with new_figure(6.4, 0.9 + 0.34 * len(table)) as (figure, axes):
        axes.axvline(0, **DASHED)
        for row, (_, stage) in enumerate(table.iterrows()):
            axes.plot([stage["low"], stage["high"]], [row, row], color=LIGHT["accent"], lw=2.4, alpha=0.5)
            axes.plot(stage["value"], row, "o", color=LIGHT["accent"], ms=5.5)
        axes.set_yticks(range(len(table)), table["shuffled"])
        axes.tick_params(axis="y", length=0, labelcolor=LIGHT["ink"])
        axes.set(ylim=(len(table) - 0.5, -0.5), xlim=(min(-0.3, float(table["low"].min()) - 0.05), 1.02))
        axes.set(xlabel="rank correlation with the trained network's map", ylabel="shuffled")
    return figure
