"""`explore.html`, and each figure as PNG with its table as CSV."""

from pathlib import Path
from typing import Any, Final

import numpy as np
from markupsafe import Markup

from lesionwise.data.collection import collection_of
from lesionwise.encoding import jpeg_uri
from lesionwise.errors import DataError
from lesionwise.explore import RECORD, figures, tables
from lesionwise.explore.abcd import MASK_MEASURES
from lesionwise.explore.explore import Exploration
from lesionwise.explore.feature_map import FeatureMap
from lesionwise.explore.pixels import COLOR_MEASURES
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
        tile=figures.TILE,
        mapped_most=figures.MAPPED,
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
    chosen = figures.sample_rows(found.dx, found.lesion, count=figures.SAMPLES)
    ids = found.dataset.table["image_id"].to_list()
    return {
        code: [
            {"id": ids[row], "source": jpeg_uri(found.cache.pixels[row], quality=figures.QUALITY)}
            for row in rows
        ]
        for code, rows in chosen.items()
        if rows
    }


def _interactive_map(found: Exploration) -> dict[str, Any] | None:
    """Return what the page's map needs: points in its box, and the sheet of thumbnails."""
    if not found.mapped:
        return None
    chosen = figures.sample_rows(found.dx, found.lesion, count=figures.MAPPED)
    rows = [row for code in sorted(CODES, key=lambda code: -len(chosen[code])) for row in chosen[code]]
    sheet, across = figures.thumbnail_sheet(found.cache.pixels, rows)
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
    rows = near.rows_of(place)
    shown = near.embeddings[rows]
    names = [near.columns["image_id"][row] for row in rows]
    likeness = shown @ shown.T
    np.fill_diagonal(likeness, -np.inf)
    order = np.argsort(-likeness, axis=1)[:, : min(COUNT, len(rows) - 1)]
    return {
        name: [place[names[other]] for other in others]
        for name, others in zip(names, order.tolist(), strict=True)
    }


def all_drawings(found: Exploration) -> dict[str, Drawing]:
    """Return every figure by its name; those that need masks or a map only where there are such."""
    drawings = _table_drawings(found) | _pixel_drawings(found)
    if found.masked:
        shapes = tables.spread_table(found.look.measures[list(MASK_MEASURES)], found.dx)
        title = "Size, asymmetry, border, colours and detail of the lesions in each diagnosis"
        drawings["abcd"] = figures.plot_spreads(shapes, MASK_MEASURES), shapes, title
    if found.mapped:
        points = found.dataset.table[["image_id", "lesion_id", "dx"]].copy()
        points["x"], points["y"] = found.mapped.points.T.round(4)
        figure = figures.plot_map(points, axes_names(found.mapped))
        drawings["map"] = figure, points, "Map of all images by their features"
    return drawings


def axes_names(mapped: FeatureMap) -> tuple[str, str]:
    """Return what the two axes of the map are."""
    first, second = (f"{100 * share:.0f} % of the variance" for share in mapped.explained)
    return f"first component ({first})", f"second component ({second})"


def _table_drawings(found: Exploration) -> dict[str, Drawing]:
    table = found.dataset.table
    diagnoses, photographs = tables.diagnosis_table(table), tables.photographs_table(table)
    sites, confirmed = tables.count_table(table, "localization"), tables.count_table(table, "dx_type")
    ages, sizes = tables.age_table(table), tables.size_table(found.sizes)
    sexes, site_shares = tables.share_table(table, "sex"), tables.share_table(table, "localization")
    missing, spreads = tables.missing_table(table), tables.spread_table(table[["age"]], found.dx)
    return {
        "diagnoses": (figures.plot_diagnoses(diagnoses), diagnoses, "Images and lesions of each diagnosis"),
        "photographs": (figures.plot_counts(photographs, "photographs", "lesions", most=None),
                        photographs, "Lesions by how many photographs they have"),
        "localization": (figures.plot_counts(sites, "localization", "images"), sites,
                         "Images by site on the body"),
        "dx_type": (figures.plot_counts(confirmed, "dx_type", "images"), confirmed,
                    "Images by how their diagnosis was confirmed"),
        "ages": (figures.plot_ages(ages), ages, "Histogram of ages, by diagnosis"),
        "sizes": (figures.plot_counts(sizes, "size_px", "images", {"images": LIGHT["accent"]}), sizes,
                  "Sizes of the image files"),
        "age-diagnosis": (figures.plot_spreads(spreads, {"age": "Age in years"}, columns=1), spreads,
                          "Spread of age in each diagnosis"),
        "sex-diagnosis": (figures.plot_shares(sexes), sexes.reset_index(), "Sex in each diagnosis"),
        "site-diagnosis": (figures.plot_cells(site_shares, "site", wide=True), site_shares.reset_index(),
                           "Site in each diagnosis"),
        "missing": (figures.plot_cells(missing, "what is missing"), missing.reset_index(),
                    "Part of each diagnosis's images that lacks a value"),
    }  # fmt: skip


def _pixel_drawings(found: Exploration) -> dict[str, Drawing]:
    mean, deviation = found.look.mean, found.look.deviation
    images = {code: int((found.dx == code).sum()) for code in CODES}
    colors = tables.spread_table(found.look.measures[list(COLOR_MEASURES)], found.dx)
    samples = figures.sample_rows(found.dx, found.lesion, count=figures.SAMPLES)
    chosen = [row for rows in samples.values() for row in rows]
    return {
        "samples": (figures.plot_samples(samples, found.cache.pixels),
                    found.dataset.table.loc[chosen, ["dx", "image_id", "lesion_id"]],
                    "Images of each diagnosis"),
        "colors": (figures.plot_spreads(colors, COLOR_MEASURES), colors,
                   "Light and colour in each diagnosis"),
        "mean-images": (figures.plot_mean_images(mean, deviation, images),
                        figures.mean_image_table(mean, deviation, images),
                        "Mean image and deviation of each diagnosis"),
    }  # fmt: skip
