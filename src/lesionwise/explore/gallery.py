"""Small pictures for the page: samples of each diagnosis, and one sheet that holds the map's thumbnails."""

from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lesionwise.labels import CODES
from lesionwise.page.embed import jpeg_uri

SAMPLES: Final = 6
MAPPED: Final = 400
"""Images of a diagnosis that the page's map shows at most; the figure and the CSV hold all."""
TILE: Final = (72, 96)
"""Height and width of a thumbnail on the sheet, in pixels."""
QUALITY: Final = 75


def sample_rows(dx: NDArray[np.str_], lesion: NDArray[np.str_], *, count: int) -> dict[str, list[int]]:
    """Return rows of each diagnosis, drawn at random, a lesion at most once."""
    rng = np.random.default_rng(0)
    chosen = {}
    for code in CODES:
        rows = rng.permutation(np.flatnonzero(dx == code))
        _, first = np.unique(lesion[rows], return_index=True)
        chosen[code] = rows[np.sort(first)][:count].tolist()
    return chosen


def thumbnail_sheet(pixels: NDArray[np.uint8], rows: list[int]) -> tuple[str, int]:
    """Return thumbnails side by side as one picture, and how many are in a line."""
    across = max(1, int(np.ceil(np.sqrt(len(rows) * TILE[0] / TILE[1]))))
    down = -(-len(rows) // across) or 1
    sheet = np.zeros((down * TILE[0], across * TILE[1], 3), np.uint8)
    for place, row in enumerate(rows):
        top, left = place // across * TILE[0], place % across * TILE[1]
        small = Image.fromarray(pixels[row]).resize(TILE[::-1], Image.Resampling.BOX)
        sheet[top : top + TILE[0], left : left + TILE[1]] = np.asarray(small)
    return jpeg_uri(sheet, quality=QUALITY), across
