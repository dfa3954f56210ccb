"""The split of one fold: held out as its test part, the other folds as train, val and cal.

Not here: training them (`lesionwise.experiments.crossval`).

The test part of the split that is folded is in none of these splits: it is neither trained on nor predicted.
"""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lesionwise.data.dataset import Dataset
from lesionwise.errors import SplitError
from lesionwise.split.assign import HELD_OUT, LesionKFold, deal_held_out, verify_enough
from lesionwise.split.split_file import PARTS, Split
from lesionwise.wording import counted

_LEAST_FOLDS = 2


def verify_whole(split: Split, source: str = "split.csv") -> None:
    """Refuse to fold the split of a fold: what it leaves out is the final exam, and must stay out."""
    if split.meta.get("held_out") or split.meta.get("left_out"):
        raise SplitError(
            f"{source}: is the split of a single fold "
            f"({counted(split.meta.get('left_out', 0), 'image is', 'images are')} left out). Pass the split "
            "that the folds were made from."
        )


def in_folds(split: Split, image_ids: NDArray[np.str_]) -> NDArray[np.bool_]:
    """Return which images are in a fold other than test, shape (N,); none outside the split is."""
    part = split.frame.set_index("image_id")["part"].reindex(image_ids)
    return part.isin([part for part in PARTS if part != "test"]).to_numpy()


def fold_numbers(split: Split, source: str = "split.csv") -> list[int]:
    """Return the folds of what is not test, sorted."""
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
