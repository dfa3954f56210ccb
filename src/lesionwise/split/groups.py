"""Lesion groups: the unit that a split may not cut.

Not here: dealing groups out (`assign`), and refusing a split that cuts one (`split_file`).

A group is a connected component of: same `lesion_id`, same lesion of HAM10000 by image id (whatever the table
calls it), same image of the ISIC archive in two sizes, the eighteen confirmed pairs, identical pixels.
The rule is frozen, so that a split made today is the split of tomorrow. Pairs that a person has confirmed are
joined on top of it.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from lesionwise.data.known_lesions import known_siblings
from lesionwise.errors import SplitError
from lesionwise.names import archive_id
from lesionwise.tables import read_table
from lesionwise.wording import counted

Pair = tuple[str, str]

MOST_IMAGES: Final = 6
"""No lesion of HAM10000 has more photographs; a longer chain is a sign of one wrong pair among right ones."""

PAIR_COLUMNS: Final = ("image_id", "other_image_id")

# Pairs of images that show one lesion under two lesion ids. Abhishek et al. (2025), Sci Data 12:196.
_CONFIRMED: Final = (
    (33481, 33421), (33556, 32634), (29152, 33173), (29036, 27027), (27820, 28209), (27689, 32647),
    (30906, 24879), (33391, 34186), (25226, 30074), (26087, 25664), (24736, 29748), (24770, 27811),
    (27162, 29061), (24602, 32283), (29625, 24629), (30000, 31392), (24437, 31299), (33374, 33417),
)  # fmt: skip
CONFIRMED_PAIRS: Final[tuple[Pair, ...]] = tuple((f"ISIC_00{a}", f"ISIC_00{b}") for a, b in _CONFIRMED)


def lesion_groups(table: pd.DataFrame, pairs: Iterable[Pair] = ()) -> NDArray[np.str_]:
    """Return the group of each image: all photographs of one lesion share it.

    HAM10000 shows 7,470 lesions in 10,015 images; a split by image puts a sibling of two in five
    test images into training. `lesion_id` alone misses eighteen lesions that were given two ids.

    Args:
        pairs: Further pairs of image ids that show one lesion, such as those of `identical_images`.
            Pairs with an id that is not in the table are passed over.

    Returns:
        For each row the smallest lesion id of its group, shape (N,).

    Raises:
        ValueError: If a column is missing or a lesion id is empty.
    """
    if not {"image_id", "lesion_id"} <= set(table.columns):
        raise ValueError(
            f"Expected columns image_id and lesion_id but got {', '.join(map(str, table.columns))}."
        )
    if empty := int(table["lesion_id"].isna().sum()):
        raise ValueError(f"Expected a lesion_id in every row but {counted(empty, 'is', 'are')} empty.")
    lesions, lesion = np.unique(table["lesion_id"].to_numpy(str), return_inverse=True)
    lesion_of = dict(zip(table["image_id"], lesion, strict=True))
    known = [*known_siblings(lesion_of), *((archive_id(image), image) for image in lesion_of)]
    joined = [pair for pair in (*CONFIRMED_PAIRS, *known, *pairs) if lesion_of.keys() >= set(pair)]
    edges = np.array([(lesion_of[a], lesion_of[b]) for a, b in joined], dtype=np.intp).reshape(-1, 2)
    graph = coo_array((np.ones(len(edges)), edges.T), shape=(len(lesions), len(lesions)))
    _, component = connected_components(graph, directed=False)
    _, first = np.unique(component, return_index=True)  # lesions are sorted, so the first is the smallest
    return np.asarray(lesions[first[component[lesion]]])


def kept_together(frame: pd.DataFrame) -> list[Pair]:
    """Return pairs that join what a split by lesion keeps together, such as pairs that a person confirmed.

    A group that the split itself cuts is passed over.
    """
    whole = frame.groupby("group")["part"].transform("nunique") == 1
    frame = frame[whole & (frame["group"] != "")]
    first = frame.groupby("group")["image_id"].transform("first")
    return [(a, b) for a, b in zip(first, frame["image_id"], strict=True) if a != b]


def read_pairs(path: Path) -> list[Pair]:
    """Read confirmed pairs from a CSV with the columns `PAIR_COLUMNS`, as the audit writes it."""
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
    """Make sure that confirmed pairs join images of this table, and not too many."""
    unknown = sorted({image for pair in merge for image in pair} - set(table["image_id"]))
    if unknown:
        verb = "is" if len(unknown) == 1 else "are"
        raise SplitError(f"{source}: {', '.join(unknown[:5])} {verb} not in the data.")
    group = pd.Series(lesion_groups(table, merge), index=table["image_id"])
    sizes = group.value_counts()
    joined = {group[first] for first, _ in merge}
    large = sorted((name for name in joined if sizes[name] > MOST_IMAGES), key=lambda name: -sizes[name])
    if large and not force:
        images = ", ".join(group.index[group == large[0]])
        raise SplitError(
            f"{source}: joins {sizes[large[0]]} images to one lesion ({images}); "
            f"{counted(len(large), 'group has', 'groups have')} more than {MOST_IMAGES}. One of the pairs "
            "may be wrong. Remove it, or pass --force."
        )
