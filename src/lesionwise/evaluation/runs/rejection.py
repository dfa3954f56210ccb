"""Which pictures a run takes for no lesion images, learnt from the arrays that training left in its folder.

Here: reading these. Not here: making them (`training.rejection`), and the scores (`evaluation.rejection`).
"""

from collections.abc import Sequence
from typing import Final

import numpy as np

from lesionwise.errors import RunError
from lesionwise.evaluation.rejection import Rejection, fit_rejection
from lesionwise.evaluation.runs.ensemble import made_of
from lesionwise.evaluation.runs.predictions import read_run_predictions
from lesionwise.run_folder import RunFolder

SEEN: Final = ("train", "train-changed", "outsiders", "cal", "cal-changed")
"""Pictures whose embeddings are kept: of the split, the same from other cameras, and of no lesion.

Foreign pictures are called "outsiders" in the names of these files, so that runs of before can be read.
"""


def has_numbers(run: RunFolder) -> bool:
    """Return whether a run holds what `fit_members` reads."""
    return all(run.embeddings(kind).is_file() for kind in SEEN)


def run_rejection(run: RunFolder) -> Rejection | None:
    """Return what a run rejects, or an ensemble; None where its folder lacks what that is learnt from."""
    members = made_of(run)
    return fit_members(members) if all(map(has_numbers, members)) else None


def fit_members(runs: Sequence[RunFolder]) -> Rejection:
    """Return what some runs reject together: by their embeddings side by side."""
    try:
        train, changed, foreign, cal, cal_changed = (
            np.concatenate([np.load(run.embeddings(kind), allow_pickle=False) for run in runs], axis=1)
            for kind in SEEN
        )
        answered = runs[0].predictions("cal").is_file()
        known = read_run_predictions(runs[0], "cal").sorted() if answered else None
        return fit_rejection(
            np.concatenate([train, changed]),
            foreign,
            cal=cal,
            cal_changed=cal_changed,
            cal_classes=known.y_true if known else None,
            cal_groups=known.group if known else None,
        )
    except (OSError, ValueError) as error:
        raise RunError(
            f"{runs[0].path}: the embeddings of {', '.join(SEEN)} cannot be read: {error}. Delete the files "
            "embeddings-*.npy; the export makes them again."
        ) from error
