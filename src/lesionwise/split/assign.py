"""Dealing groups out to parts and folds, each with its share of every diagnosis.

Here: the splitter for scikit-learn, the parts of a run, and the split of one fold, which is held out as its
test part while the other folds are train, val and cal. Not here: what a group is (`groups`), and training the
folds (`lesionwise.experiments.crossval`).

The test part of the split that is folded is in no split of a fold: it is neither trained on nor predicted.
"""

from collections.abc import Iterator
from typing import Any, Final, Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.model_selection import StratifiedGroupKFold

from lesionwise.arrays import Booleans, Integers
from lesionwise.data.dataset import Dataset
from lesionwise.errors import SplitError
from lesionwise.labels import CODES
from lesionwise.split.groups import Pair, lesion_groups
from lesionwise.split.split_file import PARTS, Split
from lesionwise.wording import counted

By = Literal["lesion", "image"]  # what stays together in a split

FOLDS: Final = 5
HELD_OUT: Final = 9  # one ninth of all images outside test is val, and one ninth cal: some 9 % of all each
_ATTEMPTS: Final = 20  # with few lesions of many photographs one deal in thousands misses a diagnosis
_STRIDE: Final = 1_000_003  # from attempt to attempt: to seeds that no user counts up to
LEAST_LESIONS: Final = 12  # with fewer, the four fifths outside test could not fill nine ninths
_LEAST_FOLDS: Final = 2


class LesionKFold(StratifiedGroupKFold):  # type: ignore[misc] # scikit-learn is not typed
    """K folds, stratified by diagnosis, that never cut a group: `StratifiedGroupKFold` that requires groups.

    scikit-learn's splitters quietly make a random split where groups are forgotten in a pipeline. This one
    refuses, and always shuffles.

    Example:
        >>> groups = np.array(["a", "a", "b", "c", "d", "e"])
        >>> y = np.array([0, 0, 0, 0, 1, 1])
        >>> for train, test in LesionKFold(2).split(y, y, groups):
        ...     print(sorted(set(groups[train]) & set(groups[test])))
        []
        []
    """

    def __init__(self, n_splits: int = FOLDS, *, random_state: int = 0) -> None:
        super().__init__(n_splits=n_splits, shuffle=True, random_state=random_state)

    def split(
        self,
        X: ArrayLike,  # noqa: N803 (scikit-learn's name)
        y: ArrayLike,
        groups: ArrayLike | None = None,
    ) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
        """Yield the row numbers of train and test for each fold.

        Args:
            X: Anything of length N; its values are not looked at.
            y: Class of each sample, shape (N,).
            groups: Group of each sample, shape (N,).

        Raises:
            ValueError: If groups are left out.
        """
        if groups is None:
            raise ValueError("Expected `groups` to be given but got None. Pass lesion_groups(table).")
        yield from super().split(X, y, groups)

    def fold_of(self, y: ArrayLike, groups: ArrayLike) -> NDArray[np.intp]:
        """Return the fold in which each sample is held out, shape (N,)."""
        fold = np.empty(len(np.asarray(y)), dtype=np.intp)
        for number, (_, held_out) in enumerate(self.split(y, y, groups)):
            fold[held_out] = number
        return fold


def make_split(
    dataset: Dataset, *, by: By = "lesion", seed: int = 0, pairs: list[Pair] | None = None
) -> Split:
    """Deal all images out to train, val, cal and test, and to five folds of which the first is test.

    Args:
        by: The unit that stays together. A split by image only shows how much a leak raises a score, so it
            is stamped.

    Returns:
        The split: some 62 % train, 9 % val, 9 % cal and 20 % test.

    Raises:
        SplitError: If a diagnosis has too few groups to be in every part.
    """
    table = dataset.table
    groups = lesion_groups(table, pairs or ())
    unit = groups if by == "lesion" else table["image_id"].to_numpy(str)
    verify_enough(dataset.y, unit, LEAST_LESIONS)
    fold, part = deal(dataset.y, unit, FOLDS, ("test",), seed=seed)
    rest = np.flatnonzero(part != "test")
    part[rest] = deal_held_out(dataset.y[rest], unit[rest], seed=seed)
    frame = pd.DataFrame({"image_id": table["image_id"], "group": unit, "part": part, "fold": fold})
    meta: dict[str, Any] = {"by": by, "seed": seed, "folds": FOLDS}
    return Split(frame, meta)


def deal_held_out(y: Integers, unit: NDArray[np.str_], *, seed: int) -> NDArray[np.object_]:
    """Return "val" for one ninth of the images, "cal" for another and "train" for the rest, shape (N,)."""
    return deal(y, unit, HELD_OUT, ("val", "cal"), seed=seed)[1]


def deal(
    y: Integers, unit: NDArray[np.str_], shares: int, named: tuple[str, ...], *, seed: int
) -> tuple[NDArray[np.intp], NDArray[np.object_]]:
    """Return the share of each image, from 0, and the part that the share belongs to, each of shape (N,).

    As long as a part lacks a diagnosis, the images are dealt again with another seed.

    Args:
        named: Parts of the first shares, one each; all other shares are train.
    """
    wanted = {(part, kind) for part in (*named, "train") for kind in np.unique(y).tolist()}
    for attempt in range(_ATTEMPTS):
        share = LesionKFold(shares, random_state=(seed + attempt * _STRIDE) % 2**32).fold_of(y, unit)
        part = np.array([*named, *["train"] * (shares - len(named))], dtype=object)[share]
        missing = wanted - set(zip(part.tolist(), y.tolist(), strict=True))
        if not missing:
            return share, part
    shown = ", ".join(f"no {CODES[kind]} in {part}" for part, kind in sorted(missing))
    raise SplitError(
        f"Expected every diagnosis in every part, but each of {_ATTEMPTS} deals lacked one; the last had "
        f"{shown}. Add lesions of the rare diagnoses."
    )


def verify_enough(y: Integers, unit: NDArray[np.str_], least: int) -> None:
    """Make sure that each diagnosis has at least this many lesions to deal out."""
    counts = {CODES[index]: len(np.unique(unit[y == index])) for index in np.unique(y)}
    rare = [f"{count} of {code}" for code, count in counts.items() if count < least]
    if rare:
        raise SplitError(
            f"Expected at least {least} lesions of every diagnosis to deal out but found {', '.join(rare)}."
        )


def verify_whole(split: Split, source: str = "split.csv") -> None:
    """Refuse to fold the split of a fold: what it leaves out is the final exam, and must stay out."""
    left_out = split.meta.get("left_out", 0)
    if left_out or split.meta.get("held_out"):
        raise SplitError(
            f"{source}: is the split of a single fold ({counted(left_out, 'image is', 'images are')} left "
            "out). Pass the split that the folds were made from."
        )


def in_folds(split: Split, image_ids: NDArray[np.str_]) -> Booleans:
    """Return which images are in a fold, shape (N,): those of the split that are not in test."""
    part = split.frame.set_index("image_id")["part"].reindex(image_ids)
    return part.isin([part for part in PARTS if part != "test"]).to_numpy()


def fold_numbers(split: Split, source: str = "split.csv") -> list[int]:
    """Return the sorted numbers of the folds outside test."""
    rest = split.frame.loc[split.frame["part"] != "test", "fold"]
    if not pd.api.types.is_integer_dtype(rest):
        raise SplitError(f"{source}: expected whole numbers as folds but found {rest.iloc[0]!r}.")
    numbers = sorted({int(number) for number in rest})
    if len(numbers) < _LEAST_FOLDS:
        raise SplitError(f"{source}: expected two folds or more beside test but found {len(numbers)}.")
    return numbers


def fold_everything(dataset: Dataset, unit: NDArray[np.str_], *, folds: int, seed: int) -> Split:
    """Deal all images out to folds 1 to k, with no test part put aside."""
    if folds < _LEAST_FOLDS:
        raise SplitError(f"Expected two folds or more but got {folds}.")
    verify_enough(dataset.y, unit, folds)
    fold = LesionKFold(folds, random_state=seed).fold_of(dataset.y, unit) + 1
    frame = pd.DataFrame(
        {"image_id": dataset.table["image_id"], "group": unit, "part": "train", "fold": fold}
    )
    return Split(frame, {"by": "lesion", "seed": seed, "folds": folds})


def fold_split(split: Split, fold: int, dataset: Dataset, unit: NDArray[np.str_], *, seed: int) -> Split:
    """Return what the run of one fold sees.

    The fold is held out as the test part. Of the lesions of the other folds one ninth is val, which picks the
    epoch, one ninth cal, and the rest train. The test part of the split that is folded is left out.
    """
    rows = split.frame.set_index("image_id").reindex(dataset.table["image_id"])
    used = in_folds(split, dataset.table["image_id"].to_numpy(str))
    held_out = (rows["fold"] == fold).to_numpy()
    others = np.flatnonzero(used & ~held_out)
    verify_enough(dataset.y[others], unit[others], HELD_OUT)
    part = np.full(len(rows), "test", dtype=object)
    part[others] = deal_held_out(dataset.y[others], unit[others], seed=seed)
    frame = pd.DataFrame(
        {"image_id": dataset.table["image_id"], "group": unit, "part": part, "fold": rows["fold"].to_numpy()}
    )
    meta: dict[str, Any] = {
        "by": split.meta.get("by", "lesion"),
        "seed": seed,
        "of": split.fingerprint,
        "left_out": int((~used).sum()),
        "held_out": f"fold {fold}",
    }
    return Split(frame[used], meta)
