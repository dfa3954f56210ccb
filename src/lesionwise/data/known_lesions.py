"""The lesions of HAM10000 by image id: what can be known of a list of ids without having the images.

Here: the table that ships with the package. Not here: groups of lesions (`lesionwise.split.groups`).

The table is derived from the metadata of HAM10000 (CC BY-NC 4.0, see NOTICE) and holds ids and
diagnoses only.
"""

from functools import cache
from importlib.resources import files
from io import BytesIO
from typing import Final

import pandas as pd

HAM10000_IMAGES: Final = 10_015
HAM10000_LESIONS: Final = 7_470


@cache
def known_lesions() -> pd.DataFrame:
    """Return image_id, lesion_id and dx of all 10,015 images, sorted by image id; not to be changed."""
    content = files("lesionwise.data").joinpath("ham10000_lesions.csv.xz").read_bytes()
    return pd.read_csv(BytesIO(content), compression="xz", dtype=str)
