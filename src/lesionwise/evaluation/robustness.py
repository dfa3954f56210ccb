"""How much a score loses on changed photographs, and what breaks a model first.

Here: from predictions of the same images, plain and changed, to differences with intervals. Not here:
changing photographs (`lesionwise.data.perturbations`) and predicting them
(`lesionwise.experiments.robustness`).
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

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
from lesionwise.files import read_json, write_json
from lesionwise.labels import CODES
from lesionwise.run_folder import RunFolder
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
        strength: 1 to 3.
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
class Robustness:
    """What changed photographs cost a model.

    Attributes:
        plain: The scores on the same photographs, unchanged.
    """

    images: int
    lesions: int
    plain: dict[str, float]
    changed: list[Changed]

    def to_json(self) -> dict[str, Any]:
        """Return plain dictionaries and lists, as `robustness.json` holds them."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "Robustness":
        """Return the record that `to_json` wrote."""
        changed = [
            Changed(
                **{
                    **of,
                    "differences": {name: Estimate(**by) for name, by in of["differences"].items()},
                    "together": Estimate(**of["together"]),
                }
            )
            for of in value["changed"]
        ]
        return cls(**{**value, "changed": changed})


def measure_robustness(
    y_true: Truth,
    plain: ArrayLike,
    changed: Iterable[tuple[str, int, ArrayLike]],
    groups: Lesions,
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Robustness:
    """Hold the predictions of changed photographs against those of the plain ones.

    Args:
        plain: Class probabilities of the unchanged photographs, shape (N, C).
        changed: Name, strength and class probabilities of each change.
    """
    truth, base = np.asarray(y_true), np.asarray(plain, float)
    options: dict[str, Any] = {"resamples": resamples, "seed": seed}
    scores = _scores(truth, base)
    drawn = draw_scores(SCORES, truth, base, groups, **options)
    rows, main = [], []
    for name, strength, y_prob in changed:
        prob = np.asarray(y_prob, float)
        found, resampled = _scores(truth, prob), draw_scores(SCORES, truth, prob, groups, **options)
        moved = {score: resampled[score] - drawn[score] for score in SCORES}
        differences = {score: spread_estimate(found[score] - scores[score], moved[score]) for score in SCORES}
        same = float((prob.argmax(axis=1) == base.argmax(axis=1)).mean())
        rows.append((name, strength, found, differences, same))
        main.append(moved[MAIN])
    values = [differences[MAIN].value for _, _, _, differences, _ in rows]
    together = simultaneous_estimates(values, np.stack(main, axis=1))
    return Robustness(
        images=len(truth),
        lesions=len(np.unique(np.asarray(groups))),
        plain=scores,
        changed=[
            Changed(name, strength, found, differences, at_once, same)
            for (name, strength, found, differences, same), at_once in zip(rows, together, strict=True)
        ],
    )


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
            f"First to break it is {broken[0].name} at strength {broken[0].strength}: balanced accuracy "
            f"{_signed(broken[0].together)}; {100 * broken[0].same_answer:.0f} % of the answers stay."
        )
        later = [f"{row.name} at {row.strength} ({row.together.value:+.2f})" for row in broken[1:]]
        if later:
            sentences.append(f"Then {listed(later)}.")
    else:
        sentences.append("Nothing that was tried lowers balanced accuracy by more than chance.")
    if unbroken:
        sentences.append(f"At no strength does a loss by {listed(unbroken)} stand out from chance.")
    if broken and lost is not broken[0]:
        sentences.append(
            f"The greatest loss is by {lost.name} at strength {lost.strength}: {_signed(lost.together)}."
        )
    return sentences


def read_robustness(run: RunFolder, part: str) -> Robustness | None:
    """Return what was measured on a part, or None where nothing was."""
    if not run.robustness.is_file():
        return None
    parts = read_json(run.robustness)["parts"]
    return Robustness.from_json(parts[part]) if part in parts else None


def write_robustness(run: RunFolder, part: str, found: Robustness) -> None:
    """Add what was measured on a part to `robustness.json`."""
    earlier = read_json(run.robustness)["parts"] if run.robustness.is_file() else {}
    write_json(run.robustness, {"parts": {**earlier, part: found.to_json()}})


def _scores(truth: NDArray[np.int64], prob: NDArray[np.float64]) -> dict[str, float]:
    if len(np.unique(truth)) < len(CODES):
        raise ValueError("Expected images of every diagnosis: balanced accuracy is undefined without.")
    return {name: float(score(truth, prob, None)) for name, score in SCORES.items()}


def _signed(estimate: Estimate) -> str:
    return f"{estimate.value:+.3f} ({estimate.low:+.3f} to {estimate.high:+.3f})"
