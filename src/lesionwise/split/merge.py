"""Pairs that a person has confirmed to show one lesion, joined on top of the frozen rule."""

from pathlib import Path
from typing import Final

import pandas as pd

from lesionwise.errors import SplitError
from lesionwise.split.groups import Pair, lesion_groups
from lesionwise.tables import read_table
from lesionwise.wording import counted

MOST_IMAGES: Final = 6
"""No lesion of HAM10000 has more photographs; a longer chain is a sign of one wrong pair among right ones."""

PAIR_COLUMNS: Final = ("image_id", "other_image_id")


def read_pairs(path: Path) -> list[Pair]:
    """Read confirmed pairs from a CSV with the columns image_id and other_image_id, as the audit writes it.

    Raises:
        SplitError: If a column is missing, a cell empty, or an image paired with itself.
    """
    pairs: list[Pair] = []
    for line, row in read_table(path).rows():
        if not set(PAIR_COLUMNS) <= set(row):
            raise SplitError(
                f"{path}: expected the columns {' and '.join(PAIR_COLUMNS)} but found {', '.join(row)}."
            )
        first, second = (row[name] for name in PAIR_COLUMNS)
        if not first or not second or first == second:
            raise SplitError(f"{path}: row {line} does not name two images.")
        pairs.append((first, second))
    return pairs


def verify_merge(
    table: pd.DataFrame, merge: list[Pair], *, force: bool = False, source: str = "pairs"
) -> None:
    """Make sure that confirmed pairs join images of this table, and not too many.

    Raises:
        SplitError: If a pair names an image that is not in the table, or joins more than six images.
    """
    unknown = sorted({image for pair in merge for image in pair} - set(table["image_id"]))
    if unknown:
        raise SplitError(f"{source}: {', '.join(unknown[:5])} is not in the data.")
    group = pd.Series(lesion_groups(table, merge), index=table["image_id"])
    sizes = group.value_counts()
    joined = {group[first] for first, _ in merge}
    large = sorted((name for name in joined if sizes[name] > MOST_IMAGES), key=lambda name: -sizes[name])
    if large and not force:
        images = ", ".join(group.index[group == large[0]])
        raise SplitError(
            f"{source}: joins {sizes[large[0]]} images to one lesion ({images}); "
            f"{counted(len(large), 'group has', 'groups have')} more than {MOST_IMAGES}. One pair among "
            "them may be wrong. Take it out, or pass --force."
        )
