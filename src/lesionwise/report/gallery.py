"""The gallery of misclassified images, missed melanomas first.

Here: which images, in which order, and their thumbnails. Not here: the page.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from lesionwise.data.images import read_image
from lesionwise.errors import ImageError
from lesionwise.evaluation.predictions import Predictions
from lesionwise.labels import CODES, INDEX
from lesionwise.page.embed import jpeg_uri

MELANOMAS: Final = 12
OTHERS: Final = 12
THUMBNAIL: Final = (150, 200)  # height and width in pixels: sharp at 100 CSS pixels on a phone
_JPEG_QUALITY: Final = 82


def misclassified_table(predictions: Predictions) -> pd.DataFrame:
    """Return every wrong image, missed melanomas first, the surest mistake at the top of each kind.

    Args:
        predictions: With truth.

    Returns:
        Columns `image_id`, `true`, `said`, `confidence` (of what was said) and `true_probability`.

    Raises:
        ValueError: If the truth is not known.
    """
    if predictions.y_true is None:
        raise ValueError("Expected predictions with y_true but it is missing.")
    said, codes = predictions.y_prob.argmax(axis=1), np.asarray(CODES)
    table = pd.DataFrame(
        {
            "image_id": predictions.image_id,
            "true": codes[predictions.y_true],
            "said": codes[said],
            "confidence": predictions.y_prob.max(axis=1),
            "true_probability": predictions.y_prob[np.arange(len(said)), predictions.y_true],
        }
    )
    wrong: pd.DataFrame = table[said != predictions.y_true]
    order = np.lexsort((wrong["image_id"], -wrong["confidence"], wrong["true"] != CODES[INDEX["mel"]]))
    ordered: pd.DataFrame = wrong.iloc[order]
    return ordered.reset_index(drop=True)


def thumbnails(image_ids: Iterable[str], paths: dict[str, Path]) -> dict[str, str]:
    """Return small JPEGs as data addresses, so that the page needs no other file.

    Args:
        image_ids: Which.
        paths: File of each image id; those that are missing or cannot be read are left out.
    """
    found = {}
    for image_id in image_ids:
        try:
            pixels = read_image(paths[image_id], THUMBNAIL)
        except (KeyError, ImageError):
            continue
        found[image_id] = jpeg_uri(pixels, quality=_JPEG_QUALITY)
    return found
