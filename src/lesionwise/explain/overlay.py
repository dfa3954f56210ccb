"""Photographs with their maps over them, as files."""

from pathlib import Path
from typing import Final

import pandas as pd
from PIL import Image

from lesionwise.arrays import Float32s, Pixels
from lesionwise.data.images import centred_slices, read_image
from lesionwise.data.preprocess import recipe_steps
from lesionwise.files import atomic_path
from lesionwise.labels import CODES
from lesionwise.page.heatmap import dim_around, lay_colour, lay_contours, positive_part
from lesionwise.recipe import Recipe

HEIGHT_PX: Final = 240  # twice the height on a page, which makes it sharp
STYLES: Final = ("photograph", "colour", "contour")
RIGHT_EACH: Final = 2
WRONG_EACH: Final = 12
_JPEG_QUALITY: Final = 86


def draw_overlay(picture: Pixels, values: Float32s, recipe: Recipe, *, style: str) -> Pixels:
    """Return a photograph with its map, darker outside the part that the model sees."""
    seen = centred_slices((picture.shape[0], picture.shape[1]), recipe.eval_zoom)
    drawn = dim_around(picture, seen)
    if style == "colour":
        drawn[seen] = lay_colour(picture[seen], positive_part(values))
    elif style == "contour":
        drawn[seen] = lay_contours(picture[seen], positive_part(values))
    return drawn


def write_overlays(folder: Path, image_id: str, path: Path, values: Float32s, recipe: Recipe) -> None:
    """Write a JPEG of each of `STYLES` of one image. `values`: its signed map, shape (h, w)."""
    size = (HEIGHT_PX, round(HEIGHT_PX * recipe.image_size[1] / recipe.image_size[0]))
    picture = read_image(path, size, steps=recipe_steps(recipe))
    for style in STYLES:
        with atomic_path(overlay_path(folder, image_id, style)) as temporary:
            drawn = Image.fromarray(draw_overlay(picture, values, recipe, style=style))
            drawn.save(temporary, "JPEG", quality=_JPEG_QUALITY)


def overlay_path(folder: Path, image_id: str, style: str) -> Path:
    """Return the path of the picture of an image."""
    return folder / f"{image_id}-{style}.jpg"


def surest_mistakes(table: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return the rows of wrong answers, the surest first: those that miss melanomas, and all others.

    Args:
        table: Columns `image_id`, `true`, `predicted` and `confidence`.
    """
    wrong = table[table["true"] != table["predicted"]]
    wrong = wrong.sort_values(["confidence", "image_id"], ascending=[False, True])
    missed = wrong["true"] == "mel"
    return {"melanomas": wrong[missed], "others": wrong[~missed]}


def worth_showing(table: pd.DataFrame) -> list[str]:
    """Return the ids of the images that a reader should see first.

    First come the surest correct answers of each diagnosis, then the surest mistakes, missed melanomas first,
    as in the report's gallery. `table`: as for `surest_mistakes`.
    """
    right = table[table["true"] == table["predicted"]]
    right = right.sort_values(["confidence", "image_id"], ascending=[False, True])
    chosen = [
        name for code in CODES for name in right.loc[right["true"] == code, "image_id"].head(RIGHT_EACH)
    ]
    wrong = (rows["image_id"].head(WRONG_EACH) for rows in surest_mistakes(table).values())
    return [*chosen, *(name for names in wrong for name in names)]
