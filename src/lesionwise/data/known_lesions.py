"""The lesions of HAM10000 by image id: what can be known of a list of ids without having the images.

Here: the table that ships with the package. Not here: groups of lesions (`lesionwise.split.groups`).

The table is derived from the metadata of HAM10000 (CC BY-NC 4.0, see NOTICE) and holds ids and
diagnoses, and the part of each image in the reference split, with which the included models were made.
"""

from collections.abc import Iterable
from functools import cache
from importlib.resources import files
from io import BytesIO
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from lesionwise.errors import DataError
from lesionwise.wording import counted

HAM10000_IMAGES: Final = 10_015
REFERENCE_SPLIT: Final = "f154f556c9433d972c0102e6456ef9facde681c1d8fcb36b9b96bf709116f2b1"
"""Fingerprint of the reference split."""


@cache
def known_lesions() -> pd.DataFrame:
    """Return image_id, lesion_id and dx of all 10,015 images, sorted by image id; not to be changed."""
    return _table()[["image_id", "lesion_id", "dx"]]


def known_siblings(image_ids: Iterable[str]) -> list[tuple[str, str]]:
    """Return pairs of images that show one lesion of HAM10000, enough of them to join all such images."""
    known = known_lesions()
    here = known[known["image_id"].isin(list(image_ids))]
    first = here.groupby("lesion_id")["image_id"].transform("first")
    return [(a, b) for a, b in zip(first, here["image_id"], strict=True) if a != b]


def reference_parts() -> dict[str, str]:
    """Return the part of each image of HAM10000 in the reference split: train, val, cal or test."""
    table = _table()
    return dict(zip(table["image_id"], table["reference_part"], strict=True))


def verify_listed(image_ids: "pd.Series[str]", dx: "pd.Series[str]", source: Path) -> None:
    """Make sure that images that a list calls by ids of HAM10000 have the diagnoses of these images."""
    known = known_lesions().set_index("image_id")["dx"].reindex(image_ids).to_numpy()
    wrong = np.flatnonzero(known != dx.to_numpy())
    if len(wrong):
        name, first = image_ids.iloc[wrong[0]], wrong[0]
        raise DataError(
            f"{source}: calls image {first + 1} {name or 'nothing'}, which is {known[first]} and not "
            f"{dx.iloc[first]}; {counted(len(wrong), 'image differs', 'images differ')}. Use the list that "
            "belongs to this file."
        )


@cache
def _table() -> pd.DataFrame:
    content = files("lesionwise.data").joinpath("ham10000_lesions.csv.xz").read_bytes()
    return pd.read_csv(BytesIO(content), compression="xz", dtype=str)
