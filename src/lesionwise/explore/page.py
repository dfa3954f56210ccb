"""`explore.html`, and each figure as PNG with its table as CSV."""

from pathlib import Path
from typing import Any, Final

import numpy as np
from markupsafe import Markup

from lesionwise.data.collection import collection_of
from lesionwise.encoding import jpeg_uri
from lesionwise.errors import DataError
from lesionwise.explore import RECORD, pixel_figures, tables
from lesionwise.explore.drawings import all_drawings, axes_names
from lesionwise.explore.explore import Exploration
from lesionwise.files import atomic_path, read_json, sole_writer, write_json, write_text
from lesionwise.gallery.gallery import COUNT, Gallery
from lesionwise.labels import CODES, NAMES
from lesionwise.page.palette import LIGHT
from lesionwise.page.shell import render_page
from lesionwise.page.theme import Drawing, figure_style, figure_svg
from lesionwise.run_folder import claim_own_folder

_DPI: Final = 160
_SHOWN_OTHERWISE: Final = frozenset({"samples", "map"})  # the page has pictures and a map of its own
_BOX: Final = (960, 660, 20)  # width, height and margin of the page's map, whose box is 1000 by 700
_OUTLIERS: Final = (0.002, 0.998)  # quantiles: an odd image must not squeeze all others


def write_exploration(found: Exploration, out: Path, *, force: bool = False) -> Path:
    """Write `explore.html`, and each figure as PNG with its table as CSV, and return the path of the page."""
    with sole_writer(out):
        record = out / RECORD
        if not force:
            claim_own_folder(record, what="exploration")
            if record.is_file() and read_json(record).get("data") != found.cache.fingerprint:
                raise DataError(
                    f"{out}: holds the exploration of other data. Pass another --out, or --force to write "
                    "over it."
                )
        return _write_page(found, out)


def _write_page(found: Exploration, out: Path) -> Path:
    write_json(out / RECORD, {"data": found.cache.fingerprint})
    table = found.dataset.table
    page = render_page(
        "lesionwise.explore",
        "explore.html",
        name=found.dataset.folder.resolve().name,
        layout=found.dataset.layout,
        phantom=collection_of(table["image_id"]) == "phantom",
        images=len(table),
        lesions=table["lesion_id"].nunique(),
        masked=found.masked,
        remarks=found.remarks,
        figures={
            name: _write(out / "figures", name, drawing) for name, drawing in all_drawings(found).items()
        },
        diagnoses=NAMES,
        counts=tables.diagnosis_table(table).to_dict("records"),
        samples=_samples(found),
        features=found.features,
        map=_interactive_map(found),
        tile=pixel_figures.TILE,
        mapped_most=pixel_figures.MAPPED,
    )
    path = out / "explore.html"
    write_text(path, page)
    return path


def _write(folder: Path, name: str, drawing: Drawing) -> Markup:
    """Write a figure and its table, and return it as SVG."""
    figure, table, title = drawing
    with atomic_path(folder / f"{name}.png") as temporary, figure_style():
        figure.savefig(temporary, format="png", dpi=_DPI, facecolor=LIGHT["ground"])
    write_text(folder / f"{name}.csv", table.to_csv(index=False))
    if name in _SHOWN_OTHERWISE:
        return Markup()
    return Markup(figure_svg(figure, name=name, title=title))  # noqa: S704 (matplotlib escapes texts)


def _samples(found: Exploration) -> dict[str, list[dict[str, str]]]:
    """Return some images of each diagnosis that has any."""
    chosen = pixel_figures.sample_rows(found.dx, found.lesion, count=pixel_figures.SAMPLES)
    ids = found.dataset.table["image_id"].to_list()
    return {
        code: [
            {"id": ids[row], "source": jpeg_uri(found.cache.pixels[row], quality=pixel_figures.QUALITY)}
            for row in rows
        ]
        for code, rows in chosen.items()
        if rows
    }


def _interactive_map(found: Exploration) -> dict[str, Any] | None:
    """Return what the page's map needs: points in its box, and the sheet of thumbnails."""
    if not found.mapped:
        return None
    chosen = pixel_figures.sample_rows(found.dx, found.lesion, count=pixel_figures.MAPPED)
    rows = [row for code in sorted(CODES, key=lambda code: -len(chosen[code])) for row in chosen[code]]
    sheet, across = pixel_figures.thumbnail_sheet(found.cache.pixels, rows)
    low, high = np.quantile(found.mapped.points, _OUTLIERS, axis=0)
    inside = np.clip((found.mapped.points[rows] - low) / np.maximum(high - low, 1e-6), 0, 1)
    width, height, margin = _BOX
    ids = found.dataset.table["image_id"].to_list()
    linked = _links(found.gallery, [ids[row] for row in rows])
    points = [
        {
            "x": round(margin + width * x, 1),
            "y": round(margin + height * (1 - y), 1),
            "dx": found.dx[row],
            "id": ids[row],
            "near": " ".join(map(str, linked.get(ids[row], ()))),
        }
        for row, (x, y) in zip(rows, inside.tolist(), strict=True)
    ]
    model = found.gallery.about.model if found.gallery else ""
    return {
        "points": points,
        "sheet": sheet,
        "across": across,
        "axes": axes_names(found.mapped),
        "linked_by": model,
    }


def _links(near: Gallery | None, image_ids: list[str]) -> dict[str, list[int]]:
    """Return the places of the nearest images on the map, by image id; each shows another lesion."""
    if near is None:
        return {}
    place = {image_id: number for number, image_id in enumerate(image_ids)}
    rows = [row for row, image_id in enumerate(near.columns["image_id"]) if image_id in place]
    if not rows:
        raise DataError(f"{near.path}: holds none of the images. Make a gallery of this folder.")
    shown = near.embeddings[rows]
    names = [near.columns["image_id"][row] for row in rows]
    likeness = shown @ shown.T
    np.fill_diagonal(likeness, -np.inf)
    order = np.argsort(-likeness, axis=1)[:, : min(COUNT, len(rows) - 1)]
    return {
        name: [place[names[other]] for other in others]
        for name, others in zip(names, order.tolist(), strict=True)
    }
