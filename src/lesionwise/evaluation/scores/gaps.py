"""Gaps between subgroups that are larger than chance, all of them looked at together.

Not here: the scores of each (`subgroups`).

Lesions are resampled over the whole set, once for both sides of every gap: a lesion with photographs on both
sides changes both. The gap in accuracy is given a second time with the diagnoses held equal: the accuracy
less what the subgroup's images would score at the recalls of all others. This gap does not come from one
subgroup holding more melanomas.
"""

from collections.abc import Callable
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lesionwise.arrays import Floats, Integers
from lesionwise.evaluation.scores.bootstrap import (
    RESAMPLES,
    Estimate,
    resample_weights,
    simultaneous_estimates,
)
from lesionwise.evaluation.scores.decision import accuracy_score, recall_per_class
from lesionwise.evaluation.scores.subgroups import (
    LEAST_LESIONS,
    SCORES,
    UNKNOWN,
    columns_of,
    describe_subgroup,
    ordered_values,
    rests_on,
    subgroup_values,
)
from lesionwise.evaluation.scores.weights import Lesions, Probs, Truth, sum_by
from lesionwise.wording import counted

ADJUSTED: Final = "accuracy_given_diagnosis"
_TITLES: Final = {
    "accuracy": "accuracy",
    ADJUSTED: "accuracy with the diagnoses held equal",
    "malignant_auc": "AUC of malignant against benign",
    "melanoma_recall": "share of melanomas found",
}
Gap = Callable[[Floats | None], Floats]


def evaluate_gaps(
    y_true: Truth, y_prob: Probs, groups: Lesions, table: pd.DataFrame, *, resamples: int = RESAMPLES
) -> list[dict[str, Any]]:
    """Compare each subgroup with all other images whose value is known.

    Returns:
        A row per gap: `column`, `value`, `score`, the subgroup's score less that of the others as `gap`
        (value, low and high; all intervals hold at once), and whether it is `beyond_chance`. Gaps are
        left out where one side rests on fewer than `LEAST_LESIONS` lesions.
    """
    truth, prob, lesions = np.asarray(y_true), np.asarray(y_prob, float), np.asarray(groups)
    rows: list[dict[str, Any]] = []
    gaps: list[Gap] = []
    for column in columns_of(table):
        values = subgroup_values(table, column, lesions)
        for value in ordered_values(column, values):
            sides = np.flatnonzero(values == value), np.flatnonzero((values != value) & (values != UNKNOWN))
            if value == UNKNOWN or min(map(len, sides)) == 0:
                continue
            for score, gap in _gaps(truth, prob, lesions, sides).items():
                rows.append({"column": column, "value": value, "score": score})
                gaps.append(gap)
    if not gaps:
        return []
    found = np.array([float(gap(None)) for gap in gaps])
    drawn = [
        np.stack([gap(np.asarray(weights, float)) for gap in gaps], axis=1)
        for weights in resample_weights(lesions, truth, resamples=resamples)
    ]
    estimates = simultaneous_estimates(found, np.nan_to_num(np.concatenate(drawn)))
    return [
        {**row, "gap": vars(gap), "beyond_chance": gap.low > 0 or gap.high < 0}
        for row, gap in zip(rows, estimates, strict=True)
    ]


def describe_gaps(gaps: list[dict[str, Any]]) -> list[str]:
    """Return a sentence for each subgroup whose score differs by more than chance, worst first."""
    if not gaps:
        return []
    clear = sorted((row for row in gaps if row["beyond_chance"]), key=lambda row: row["gap"]["value"])
    held = f"{counted(len(gaps), 'gap was', 'gaps were')} tested, with 95 % intervals that hold for all"
    if not clear:
        return [f"No gap between subgroups is larger than chance; {held}."]
    sentences = [f"{held[0].upper()}{held[1:]}; {counted(len(clear), 'is', 'are')} larger than chance."]
    by_subgroup: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in clear:
        by_subgroup.setdefault((row["column"], row["value"]), []).append(row)
    for (column, value), rows in by_subgroup.items():
        found = ", ".join(f"{_TITLES[row['score']]} {Estimate(**row['gap']):+.2f}" for row in rows)
        mix = {row["score"] for row in rows} == {"accuracy"}
        why = "; with the diagnoses held equal, it is within chance" if mix else ""
        whose = describe_subgroup(column, value)
        sentences.append(f"Lesions {whose}, compared with all others: {found}{why}.")
    return sentences


def accuracy_given_diagnosis_gap(
    y_true: Integers,
    y_prob: Floats,
    inside: NDArray[np.intp],
    outside: NDArray[np.intp],
    weights: Floats | None = None,
) -> Floats:
    """Return a subgroup's accuracy less what its images would score at the recalls of the others.

    Only diagnoses that both sides hold are counted.

    References:
        Direct standardisation: Kitagawa (1955), https://doi.org/10.1080/01621459.1955.10501299
    """
    both = np.intersect1d(y_true[inside], y_true[outside])
    kept = inside[np.isin(y_true[inside], both)]

    def of(rows: NDArray[np.intp]) -> Floats | None:
        return None if weights is None else weights[:, rows]

    accuracy = accuracy_score(y_true[kept], y_prob[kept], of(kept))
    recall = recall_per_class(y_true[outside], y_prob[outside], of(outside))[..., both]
    cells = np.searchsorted(both, y_true[kept])
    counts = sum_by(cells, len(both), of(kept))
    total = np.maximum(counts.sum(axis=-1), 1e-12)
    return np.asarray(accuracy - (counts * recall).sum(axis=-1) / total)


def _gaps(
    truth: Integers, prob: Floats, lesions: NDArray[Any], sides: tuple[NDArray[np.intp], NDArray[np.intp]]
) -> dict[str, Gap]:
    """Return the gaps that rest on enough lesions, each as a function of weights."""
    inside, outside = sides
    least = {score: min(rests_on(truth[side], lesions[side])[score] for side in sides) for score in SCORES}

    def plain(name: str) -> Gap:
        def gap(weights: Floats | None) -> Floats:
            first, second = (
                SCORES[name](truth[side], prob[side], None if weights is None else weights[:, side])
                for side in sides
            )
            return np.asarray(first - second)

        return gap

    found = {name: plain(name) for name in SCORES if least[name] >= LEAST_LESIONS}
    shared = np.intersect1d(truth[inside], truth[outside])
    enough = [len(np.unique(lesions[side][np.isin(truth[side], shared)])) >= LEAST_LESIONS for side in sides]
    if len(shared) and all(enough):
        found[ADJUSTED] = lambda weights: accuracy_given_diagnosis_gap(truth, prob, inside, outside, weights)
    return found
