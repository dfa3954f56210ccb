"""The page of `lesionwise explain`: the results of the tests of the maps, and images with their maps."""

from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from lesionwise.encoding import data_uri
from lesionwise.explain.figures import explanation_figures
from lesionwise.explain.overlay import STYLES, overlay_path
from lesionwise.explain.record import Explanation, describe_explanation
from lesionwise.files import write_text
from lesionwise.page.heatmap import viridis
from lesionwise.page.shell import render_page
from lesionwise.run_folder import RunFolder

_SCALE_STEPS: Final = 8


def write_page(
    run: RunFolder, part: str, method: str, shown: pd.DataFrame, explanation: Explanation | None
) -> Path:
    """Write the page of a part, and return its path.

    Args:
        shown: Rows of the images to show, columns `image_id`, `true`, `said`, `confidence`, `share`, `area`.
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
        figures=explanation_figures(run.figures, part, explanation) if explanation else {},
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
