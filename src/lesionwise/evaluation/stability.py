"""How often an answer stays the same when a picture hardly changes.

Here: from the answers before and after each change to shares with intervals, their sentences, and their place
in a run's `scores.json`. Not here: changing pictures (`lesionwise.data.perturbations`) and asking a model
(`lesionwise.predict.stability`). Nothing is fitted on it and the true diagnoses do not enter, so it may be
looked at as often as one likes.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from lesionwise.arrays import Booleans
from lesionwise.evaluation.scores.bootstrap import RESAMPLES, Estimate, draw_means, fraction_estimate
from lesionwise.evaluation.scores.weights import Lesions, Truth
from lesionwise.files import JsonRecord, read_json, write_json
from lesionwise.run_folder import RunFolder
from lesionwise.wording import counted

ASPECTS: Final = {"top": "likeliest diagnosis", "decision": "decision", "melanoma": "melanoma flag"}
"""What may stay the same, as a reader knows it."""

STABILITY: Final = "stability"


@dataclass(frozen=True)
class Decided:
    """What a model decides on some images.

    Attributes:
        top: The likeliest diagnosis of each, shape (N,).
        decision: Whether each is answered, uncertain or no lesion image, shape (N,).
        melanoma: Whether each is above the threshold for melanoma, shape (N,); None without a threshold.
    """

    top: NDArray[np.str_]
    decision: NDArray[np.str_]
    melanoma: Booleans | None


@dataclass(frozen=True)
class Kept:
    """The share of the images whose answer stays the same after one change.

    Attributes:
        melanoma: Stability of the melanoma flag; None without a threshold.
    """

    top: Estimate
    decision: Estimate
    melanoma: Estimate | None = None

    @property
    def shares(self) -> dict[str, Estimate]:
        """Return the shares that were measured, by the names of `ASPECTS`."""
        return {name: share for name, share in vars(self).items() if share is not None}


@dataclass(frozen=True)
class Stability(JsonRecord):
    """How often answers stay the same."""

    images: int
    lesions: int
    changes: dict[str, Kept]


def measure_stability(
    answers: Iterable[tuple[str, Decided, Decided]],
    y_true: Truth,
    groups: Lesions,
    *,
    resamples: int = RESAMPLES,
) -> Stability:
    """Return the share of the images whose answer each change (name, before, after) leaves as it is."""
    same = {
        (change, aspect): getattr(before, aspect) == getattr(after, aspect)
        for change, before, after in answers
        for aspect in ASPECTS
        if getattr(before, aspect) is not None
    }
    kept = np.stack(list(same.values()), axis=1).astype(float)
    drawn = draw_means(kept, groups, y_true, resamples=resamples)
    lesions = len(np.unique(np.asarray(groups)))
    shares: dict[str, dict[str, Estimate]] = {}
    for column, (change, aspect) in enumerate(same):
        value = float(kept[:, column].mean())
        shares.setdefault(change, {})[aspect] = fraction_estimate(value, drawn[:, column], lesions)
    return Stability(len(kept), lesions, {change: Kept(**found) for change, found in shares.items()})


def describe_stability(found: Stability) -> list[str]:
    """Return in sentences what changes the likeliest diagnosis most and least often."""
    lost = sorted((1 - kept.top.value, change) for change, kept in found.changes.items())
    (least, mildest), (most, strongest) = lost[0], lost[-1]
    diagnoses = (
        f"{strongest} changes the likeliest diagnosis of {100 * most:.1f} % of "
        f"{counted(found.images, 'image')}, {mildest} of {100 * least:.1f} %."
    )
    flags = [(kept.melanoma.value, change) for change, kept in found.changes.items() if kept.melanoma]
    if not flags:
        return [diagnoses]
    kept, change = min(flags)
    return [diagnoses, f"The melanoma flag changes most often with {change}: for {100 * (1 - kept):.1f} %."]


def read_stability(run: RunFolder) -> Stability | None:
    """Return what was measured on `cal`, or None where nothing was."""
    found = read_json(run.scores).get(STABILITY, {}) if run.scores.is_file() else {}
    return Stability.from_json(found["cal"]) if "cal" in found else None


def write_stability(run: RunFolder, found: Stability) -> None:
    """Add what was measured on `cal` to `scores.json`."""
    earlier = read_json(run.scores) if run.scores.is_file() else {"parts": {}}
    write_json(run.scores, {**earlier, STABILITY: {"cal": found.to_json()}})


def drop_stability(run: RunFolder) -> None:
    """Forget what was measured, because another calibration decides in another way."""
    if run.scores.is_file():
        kept = {name: value for name, value in read_json(run.scores).items() if name != STABILITY}
        write_json(run.scores, kept)
