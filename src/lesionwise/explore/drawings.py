"""Every figure of the page, each with the table that it is drawn from and its title."""

import pandas as pd

from lesionwise.explore import pixel_figures, tables
from lesionwise.explore import table_figures as draw
from lesionwise.explore.abcd import MASK_MEASURES
from lesionwise.explore.explore import Exploration
from lesionwise.explore.feature_map import FeatureMap
from lesionwise.explore.pixels import COLOR_MEASURES
from lesionwise.labels import CODES
from lesionwise.page.theme import Drawing


def all_drawings(found: Exploration) -> dict[str, Drawing]:
    """Return every figure by its name; those that need masks or a map only where there are such."""
    drawings = _table_drawings(found) | _pixel_drawings(found)
    if found.masked:
        shapes = tables.spread_table(found.look.measures[list(MASK_MEASURES)], found.dx)
        title = "Size, asymmetry, border, colours and detail of the lesions in each diagnosis"
        drawings["abcd"] = draw.plot_spreads(shapes, MASK_MEASURES), shapes, title
    if found.mapped:
        points = points_table(found, found.mapped)
        figure = pixel_figures.plot_map(points, axes_names(found.mapped))
        drawings["map"] = figure, points, "Map of all images by their features"
    return drawings


def points_table(found: Exploration, mapped: FeatureMap) -> pd.DataFrame:
    """Return where each image lies on the map."""
    points = found.dataset.table[["image_id", "lesion_id", "dx"]].copy()
    points["x"], points["y"] = mapped.points.T.round(4)
    return points


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
        "diagnoses": (draw.plot_diagnoses(diagnoses), diagnoses, "Images and lesions of each diagnosis"),
        "photographs": (draw.plot_counts(photographs, "photographs", "lesions", sort_values=True),
                        photographs, "Lesions by how many photographs they have"),
        "localization": (draw.plot_counts(sites, "localization", "images"), sites,
                         "Images by site on the body"),
        "dx_type": (draw.plot_counts(confirmed, "dx_type", "images"), confirmed,
                    "Images by how their diagnosis was confirmed"),
        "ages": (draw.plot_ages(ages), ages, "Histogram of ages, by diagnosis"),
        "sizes": (draw.plot_sizes(sizes), sizes, "Sizes of the image files"),
        "age-diagnosis": (draw.plot_spreads(spreads, {"age": "Age in years"}, columns=1), spreads,
                          "Spread of age in each diagnosis"),
        "sex-diagnosis": (draw.plot_shares(sexes, draw.SEX_COLORS, "share of the images of the diagnosis"),
                          sexes.reset_index(), "Sex in each diagnosis"),
        "site-diagnosis": (draw.plot_cells(site_shares, "site", wide=True), site_shares.reset_index(),
                           "Site in each diagnosis"),
        "missing": (draw.plot_cells(missing, "what is missing"), missing.reset_index(),
                    "Part of each diagnosis's images that lacks a value"),
    }  # fmt: skip


def _pixel_drawings(found: Exploration) -> dict[str, Drawing]:
    mean, deviation = found.look.mean, found.look.deviation
    images = {code: int((found.dx == code).sum()) for code in CODES}
    colors = tables.spread_table(found.look.measures[list(COLOR_MEASURES)], found.dx)
    samples = pixel_figures.sample_rows(found.dx, found.lesion, count=pixel_figures.SAMPLES)
    chosen = [row for rows in samples.values() for row in rows]
    return {
        "samples": (pixel_figures.plot_samples(samples, found.cache.pixels),
                    found.dataset.table.loc[chosen, ["dx", "image_id", "lesion_id"]],
                    "Images of each diagnosis"),
        "colors": (draw.plot_spreads(colors, COLOR_MEASURES), colors, "Light and colour in each diagnosis"),
        "mean-images": (pixel_figures.plot_mean_images(mean, deviation, images),
                        pixel_figures.mean_image_table(mean, deviation, images),
                        "Mean image and deviation of each diagnosis"),
    }  # fmt: skip
