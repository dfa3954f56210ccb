"""The refusal: a split with one lesion on two sides is not used."""

from collections.abc import Iterable

import pandas as pd

from lesionwise.data.dataset import Dataset
from lesionwise.errors import LeakError, SplitError
from lesionwise.split.groups import Pair, lesion_groups
from lesionwise.split.split_file import Split
from lesionwise.wording import counted


def verify_split(
    split: Split, dataset: Dataset, *, pairs: Iterable[Pair] = (), source: str = "split.csv"
) -> None:
    """Make sure that a split fits its table and cuts no lesion.

    The groups are worked out anew from the table; the `group` column of the file is not believed. A split
    made by image says so in its JSON and is let through: everything made from it carries the stamp. A split
    that leaves images out, such as that of a fold, says in its JSON how many.
    """
    table = dataset.table
    _verify_images(split, table["image_id"], source, left_out=split.meta.get("left_out", 0))
    if split.leaky:
        return
    grouped = split.frame.merge(table[["image_id", "lesion_id"]], on="image_id")
    grouped["true_group"] = lesion_groups(grouped, pairs)
    for column in ("part", "fold"):
        _verify_together(grouped, column, source)


def _verify_images(split: Split, image_ids: pd.Series, source: str, *, left_out: int) -> None:
    ours, theirs = set(image_ids), set(split.frame["image_id"])
    for lost, where, expected in ((ours - theirs, "the split", left_out), (theirs - ours, "the data", 0)):
        if len(lost) != expected and lost:
            raise SplitError(
                f"{source}: {where} lacks {counted(len(lost), 'image')}, such as {min(lost)}. It may be the "
                'split of another data set. Run "lesionwise data split" for this one.'
            )


def _verify_together(grouped: pd.DataFrame, column: str, source: str) -> None:
    sides = grouped.groupby("true_group", sort=True)[column].unique()
    cut = sides[sides.map(len) > 1]
    if cut.empty:
        return
    lesion, where = cut.index[0], " and ".join(map(str, sorted(cut.iloc[0])))
    more = (
        f" {counted(len(cut) - 1, 'other lesion leaks', 'other lesions leak')} too." if len(cut) > 1 else ""
    )
    place = where if column == "part" else f"folds {where}"
    raise LeakError(
        f'{source}: lesion {lesion} is in {place}.{more} Run "lesionwise data split" again, '
        "or use the split that was made by lesion."
    )
