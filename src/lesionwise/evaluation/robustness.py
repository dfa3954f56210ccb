"""How much a score loses on changed photographs, and what breaks a model first.

Not here: changing photographs (`lesionwise.data.perturbations`) and predicting them
(`lesionwise.experiments.robustness`).
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from lesionwise.arrays import Floats, Integers
from lesionwise.evaluation.scores.bootstrap import (
    RESAMPLES,
    Estimate,
    simultaneous_estimates,
    spread_estimate,
)
from lesionwise.evaluation.scores.decision import accuracy_score, balanced_accuracy_score
from lesionwise.evaluation.scores.evaluate import Scores, draw_scores
from lesionwise.evaluation.scores.ranking import macro_auc_score
from lesionwise.evaluation.scores.subgroups import malignant_auc_score, melanoma_recall_score
from lesionwise.evaluation.scores.weights import Lesions, Truth
from lesionwise.files import JsonRecord
from lesionwise.labels import CODES
from lesionwise.wording import listed

SCORES: Final[Scores] = {
    "balanced_accuracy": balanced_accuracy_score,
    "accuracy": accuracy_score,
    "macro_auc": macro_auc_score,
    "malignant_auc": malignant_auc_score,
    "melanoma_recall": melanoma_recall_score,
}
MAIN: Final = "balanced_accuracy"
"""The score that the figure and the sentence are about."""


@dataclass(frozen=True)
class Changed:
    """The scores on photographs changed in one way.

    Attributes:
        differences: Score less that on the plain photographs, with the same resampled lesions.
        together: The difference of the main score with an interval that holds for all changes at once.
        same_answer: Part of the images whose answer did not change.
    """

    name: str
    strength: int
    scores: dict[str, float]
    differences: dict[str, Estimate]
    together: Estimate
    same_answer: float

    @property
    def breaks(self) -> bool:
        """Whether the main score is lower by more than chance, all changes being looked at together."""
        return self.together.high < 0


@dataclass(frozen=True)
class Robustness(JsonRecord):
    """What changed photographs cost a model."""

    images: int
    lesions: int
    plain: dict[str, float]
    changed: list[Changed]


def measure_robustness(
    y_true: Truth,
    plain: ArrayLike,
    changed: Iterable[tuple[str, int, ArrayLike]],
    groups: Lesions,
    *,
    resamples: int = RESAMPLES,
) -> Robustness:
    """Compare the predictions of changed photographs with those of the plain ones."""
    truth, base = np.asarray(y_true), np.asarray(plain, float)
    scores = _scores(truth, base)
    drawn = draw_scores(SCORES, truth, base, groups, resamples=resamples)
    rows, main = [], []
    for name, strength, y_prob in changed:
        prob = np.asarray(y_prob, float)
        found = _scores(truth, prob)
        resampled = draw_scores(SCORES, truth, prob, groups, resamples=resamples)
        moved = {score: resampled[score] - drawn[score] for score in SCORES}
        differences = {score: spread_estimate(found[score] - scores[score], moved[score]) for score in SCORES}
        same = float((prob.argmax(axis=1) == base.argmax(axis=1)).mean())
        rows.append(Changed(name, strength, found, differences, differences[MAIN], same))
        main.append(moved[MAIN])
    together = simultaneous_estimates([row.together.value for row in rows], np.stack(main, axis=1))
    wider = [replace(row, together=estimate) for row, estimate in zip(rows, together, strict=True)]
    return Robustness(len(truth), len(np.unique(np.asarray(groups))), scores, wider)


def describe_robustness(found: Robustness) -> list[str]:
    """Return what breaks first and what does not, in sentences."""
    by_name: dict[str, list[Changed]] = {}
    for row in found.changed:
        by_name.setdefault(row.name, []).append(row)
    first = {name: min((row for row in rows if row.breaks), key=lambda row: row.strength, default=None)
             for name, rows in by_name.items()}  # fmt: skip
    broken = sorted(
        (row for row in first.values() if row), key=lambda row: (row.strength, row.together.value)
    )
    unbroken = [name for name, row in first.items() if row is None]
    lost = min(found.changed, key=lambda row: row.together.value)
    sentences = []
    if broken:
        sentences.append(
            f"The first change to break it is {broken[0].name} at strength {broken[0].strength}: balanced "
            f"accuracy {broken[0].together:+.3f}; {100 * broken[0].same_answer:.0f} % of the answers "
            "stay the same."
        )
        later = [f"{row.name} at {row.strength} ({row.together.value:+.2f})" for row in broken[1:]]
        if later:
            sentences.append(f"Then {listed(later)}.")
    else:
        sentences.append("None of the changes lowers balanced accuracy by more than chance.")
    if unbroken:
        sentences.append(f"The loss by {listed(unbroken)} is within chance at every strength.")
    if broken and lost is not broken[0]:
        sentences.append(
            f"The greatest loss is by {lost.name} at strength {lost.strength}: {lost.together:+.3f}."
        )
    return sentences


def _scores(truth: Integers, prob: Floats) -> dict[str, float]:
    if len(np.unique(truth)) < len(CODES):
        raise ValueError("Expected images of every diagnosis: without them, balanced accuracy is undefined.")
    return {name: float(score(truth, prob, None)) for name, score in SCORES.items()}
