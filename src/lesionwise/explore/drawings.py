"""Every figure of the page, each with the table that it is drawn from."""

from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd
from matplotlib.figure import Figure

from lesionwise.explore import pixel_figures, table_figures, tables
from lesionwise.explore.abcd import MASK_MEASURES
from lesionwise.explore.explore import Exploration
from lesionwise.explore.feature_map import FeatureMap
from lesionwise.explore.gallery import SAMPLES, sample_rows
from lesionwise.explore.pixels import COLOR_MEASURES
from lesionwise.labels import CODES


@dataclass(frozen=True)
class Drawing:
    """A figure with the table that it is drawn from.

    Attributes:
        draw: Makes the figure.
        table: Becomes the CSV beside it.
        title: What it shows, for those who cannot see it.
    """

    draw: Callable[[], Figure]
    table: pd.DataFrame
    title: str


def all_drawings(found: Exploration) -> dict[str, Drawing]:
    """Return every figure by its name; those that need masks or a map only where there are such."""
    drawings = _count_drawings(found) | _share_drawings(found) | _pixel_drawings(found)
    if found.masked:
        shapes = tables.spread_table(found.look.measures[list(MASK_MEASURES)], found.dx)
        title = "Size, asymmetry, border, colours and detail of the lesions in each diagnosis"
        drawings["abcd"] = Drawing(lambda: table_figures.plot_spreads(shapes, MASK_MEASURES), shapes, title)
    if found.mapped:
        points, names = points_table(found, found.mapped), axes_names(found.mapped)
        drawings["map"] = Drawing(
            lambda: pixel_figures.plot_map(points, names), points, "Map of all images by their features"
        )
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


def _count_drawings(found: Exploration) -> dict[str, Drawing]:
    table = found.dataset.table
    diagnoses, photographs = tables.diagnosis_table(table), tables.photographs_table(table)
    sites, confirmed = tables.count_table(table, "localization"), tables.count_table(table, "dx_type")
    ages, sizes = tables.age_table(table), tables.size_table(found.sizes)
    draw = table_figures
    return {
        "diagnoses": Drawing(
            lambda: draw.plot_diagnoses(diagnoses), diagnoses, "Images and lesions of each diagnosis"
        ),
        "photographs": Drawing(
            lambda: draw.plot_counts(photographs, "photographs", "lesions", sort_values=True),
            photographs,
            "Lesions by how many photographs they have",
        ),
        "localization": Drawing(
            lambda: draw.plot_counts(sites, "localization", "images"), sites, "Images by site on the body"
        ),
        "dx_type": Drawing(
            lambda: draw.plot_counts(confirmed, "dx_type", "images"),
            confirmed,
            "Images by how their diagnosis was confirmed",
        ),
        "ages": Drawing(lambda: draw.plot_ages(ages), ages, "Histogram of ages, by diagnosis"),
        "sizes": Drawing(lambda: draw.plot_sizes(sizes), sizes, "Sizes of the image files"),
    }


def _share_drawings(found: Exploration) -> dict[str, Drawing]:
    table = found.dataset.table
    sexes, sites = tables.share_table(table, "sex"), tables.share_table(table, "localization")
    missing, ages = tables.missing_table(table), tables.spread_table(table[["age"]], found.dx)
    draw = table_figures
    return {
        "age-diagnosis": Drawing(
            lambda: draw.plot_spreads(ages, {"age": "Age in years"}, columns=1),
            ages,
            "Spread of age in each diagnosis",
        ),
        "sex-diagnosis": Drawing(
            lambda: draw.plot_shares(sexes, draw.SEX_COLORS, "share of the images of the diagnosis"),
            sexes.reset_index(),
            "Sex in each diagnosis",
        ),
        "site-diagnosis": Drawing(
            lambda: draw.plot_cells(sites, "site", wide=True), sites.reset_index(), "Site in each diagnosis"
        ),
        "missing": Drawing(
            lambda: draw.plot_cells(missing, "what is missing"),
            missing.reset_index(),
            "Part of each diagnosis's images that lacks a value",
        ),
    }


def _pixel_drawings(found: Exploration) -> dict[str, Drawing]:
    mean, deviation = found.look.mean, found.look.deviation
    images = {code: int((found.dx == code).sum()) for code in CODES}
    colors = tables.spread_table(found.look.measures[list(COLOR_MEASURES)], found.dx)
    samples = sample_rows(found.dx, found.lesion, count=SAMPLES)
    chosen = [row for rows in samples.values() for row in rows]
    draw = pixel_figures
    return {
        "samples": Drawing(
            lambda: draw.plot_samples(samples, found.cache.pixels),
            found.dataset.table.loc[chosen, ["dx", "image_id", "lesion_id"]],
            "Images of each diagnosis",
        ),
        "colors": Drawing(
            lambda: table_figures.plot_spreads(colors, COLOR_MEASURES),
            colors,
            "Light and colour in each diagnosis",
        ),
        "mean-images": Drawing(
            lambda: draw.plot_mean_images(mean, deviation, images),
            draw.mean_image_table(mean, deviation, images),
            "Mean image and deviation of each diagnosis",
        ),
    }
