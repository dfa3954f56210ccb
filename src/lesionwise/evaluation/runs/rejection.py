"""Which pictures a run takes for no lesion images, learnt from the arrays that training left in its folder.

Here: reading these. Not here: making them (`lesionwise.training.rejection`), and the scores (`ood`).
"""

from collections.abc import Sequence
from typing import Final

import numpy as np

from lesionwise.errors import RunError
from lesionwise.evaluation.ood import Rejection, fit_rejection
from lesionwise.evaluation.runs.ensemble import made_of
from lesionwise.run_folder import RunFolder

PARTS: Final = ("train", "cal")


def has_numbers(run: RunFolder) -> bool:
    """Return whether a run holds what `fit_members` reads."""
    return all(path.is_file() for part in PARTS for path in (run.embeddings(part), run.appearance(part)))


def run_rejection(run: RunFolder) -> Rejection | None:
    """Return what a run rejects, or an ensemble; None where its folder lacks what that is learnt from.

    Raises:
        RunError: If the arrays cannot be read or do not fit each other.
    """
    members = made_of(run)
    return fit_members(members) if all(map(has_numbers, members)) else None


def fit_members(runs: Sequence[RunFolder]) -> Rejection:
    """Return what some runs reject together: by their embeddings side by side.

    Args:
        runs: Of one split, each with embeddings and appearance of `PARTS`.

    Raises:
        RunError: If their arrays cannot be read or do not fit each other.
    """
    try:
        embedding, cal_embedding = (
            np.concatenate([np.load(run.embeddings(part), allow_pickle=False) for run in runs], axis=1)
            for part in PARTS
        )
        appearance, cal_appearance = (np.load(runs[0].appearance(part), allow_pickle=False) for part in PARTS)
    except (OSError, ValueError) as error:
        raise RunError(
            f"{runs[0].path}: embeddings of train and cal cannot be read: {error}. Delete them; the export "
            "makes them anew."
        ) from error
    return fit_rejection(embedding, appearance, cal_embedding=cal_embedding, cal_appearance=cal_appearance)
