"""Is one model better than another, on the same images: differences with intervals, and McNemar's test."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import binomtest, rankdata

from lesionwise.errors import DataError
from lesionwise.evaluation.predictions import Predictions
from lesionwise.evaluation.scores.bootstrap import (
    RESAMPLES,
    Estimate,
    simultaneous_estimates,
    spread_estimate,
)
from lesionwise.evaluation.scores.evaluate import OVERALL, Measured, mean_title, measure
from lesionwise.evaluation.scores.weights import Truth
from lesionwise.files import JsonRecord
from lesionwise.names import match_names
from lesionwise.wording import counted

DIFFERENCES: Final = tuple(name for name in OVERALL if name != "ece")
"""Scores whose difference is given; the chance part of two calibration errors does not cancel."""

RANKED_BY: Final = "balanced_accuracy"


@dataclass(frozen=True)
class McNemar:
    """Images that one of two models alone got right.

    Attributes:
        first_alone: Right by the first, wrong by the second.
        p_value: Chance of so uneven a count, or a more uneven one, if both err equally often.
    """

    first_alone: int
    second_alone: int
    p_value: float


@dataclass(frozen=True)
class Comparison(JsonRecord):
    """A model compared with the first.

    Attributes:
        diagnoses: How many of the seven the images show.
        differences: The model's score less the reference's, by score; the resamples are paired.
        mcnemar: McNemar's test of the decisions; the reference is the first.
    """

    name: str
    reference: str
    images: int
    lesions: int
    diagnoses: int
    differences: dict[str, Estimate]
    mcnemar: McNemar


def mcnemar(y_true: Truth, first: ArrayLike, second: ArrayLike) -> McNemar:
    """Test whether two models are wrong equally often, by the images that only one got right.

    It takes all images for independent. Where lesions have several photographs the p-value comes out too
    small, and the interval of the difference is what counts.

    References:
        McNemar (1947), https://doi.org/10.1007/BF02295996
    """
    truth = np.asarray(y_true)
    right = [np.asarray(y_prob).argmax(axis=1) == truth for y_prob in (first, second)]
    first_alone, second_alone = int((right[0] & ~right[1]).sum()), int((right[1] & ~right[0]).sum())
    uneven = first_alone + second_alone
    p_value = float(binomtest(first_alone, uneven).pvalue) if uneven else 1.0
    return McNemar(first_alone, second_alone, p_value)


@dataclass(frozen=True)
class Standing:
    """The place of one model among several, by balanced accuracy.

    Attributes:
        rank_low: The best place that it has in the middle 95 % of the resamples.
        rank_high: The worst place there.
        behind: The best model's score less its own, with intervals that hold for all models at once; None for
            the best.
    """

    name: str
    score: float
    rank: int
    rank_low: int
    rank_high: int
    behind: Estimate | None


@dataclass(frozen=True)
class Contest:
    """Several models on the same images. `score`: what they are ranked by, in words."""

    comparisons: list[Comparison]
    standings: list[Standing]
    score: str

    def verdict(self) -> str:
        """Return in one sentence which models are best, and whether chance could have made them so."""
        best, *others = self.standings
        alike = [one.name for one in others if one.behind == Estimate(0.0, 0.0, 0.0)]
        if len(alike) == len(others):
            return f"{', '.join([best.name, *alike])} do not differ by {self.score} ({best.score:.3f})."
        near = [one for one in others if one.behind and one.behind.low <= 0]
        lead = f"{best.name} is best by {self.score} ({best.score:.3f})"
        if not near:
            second = f"{others[0].name}{' and all behind it' if len(others) > 1 else ''}"
            return f"{lead}; its lead over {second} is beyond chance ({others[0].behind})."
        named = ", ".join(one.name for one in near)
        beaten = [one.name for one in others if one not in near]
        rest = f"; beyond chance, it is better than {', '.join(beaten)}" if beaten else ""
        return f"{lead}, but by chance alone it could differ from {named} ({near[0].behind}){rest}."

    def to_json(self) -> dict[str, Any]:
        """Return plain dictionaries and lists."""
        return {
            "comparisons": [comparison.to_json() for comparison in self.comparisons],
            "standings": [asdict(standing) for standing in self.standings],
            "ranked_by": self.score,
            "verdict": self.verdict(),
        }


def compare(
    named: Sequence[tuple[str, Predictions]],
    *,
    by: Literal["lesion", "image"] = "lesion",
    resamples: int = RESAMPLES,
) -> Contest:
    """Compare each model with the first and rank all, on the same images and the same resampled lesions.

    Args:
        named: At least two names with predictions that know their truth and their lesions.
        by: What is resampled. By image takes all photographs for independent: intervals come out too narrow.
    """
    aligned = align(named, by=by)
    (reference, first), *others = aligned
    truth, groups = first.known(reference)
    measured = {
        name: measure(truth, one.y_prob, groups, resamples=resamples, seed=0) for name, one in aligned
    }
    base = measured[reference]
    diagnoses, lesions = len(np.unique(truth)), int(base.lesion.max()) + 1
    comparisons = []
    for name, other in others:
        differences = {}
        for score in DIFFERENCES:
            if score in base.values:
                value = float(measured[name].values[score] - base.values[score])
                drawn = measured[name].drawn[score] - base.drawn[score]
                differences[score] = spread_estimate(value, drawn)
        test = mcnemar(truth, first.y_prob, other.y_prob)
        comparisons.append(Comparison(name, reference, len(truth), lesions, diagnoses, differences, test))
    return Contest(comparisons, _rank(measured), mean_title(RANKED_BY, diagnoses))


def align(
    named: Sequence[tuple[str, Predictions]], *, by: Literal["lesion", "image"] = "lesion"
) -> list[tuple[str, Predictions]]:
    """Return the predictions of several models in one order, and by the names of the first."""
    names = [name for name, _ in named]
    if len(named) < 2:  # noqa: PLR2004 (one has nothing to be compared with)
        raise ValueError(f"Expected at least two models but got {len(named)}.")
    if len(set(names)) < len(names):
        raise DataError(f"Expected models of different names but got {', '.join(names)}.")
    reference, first = names[0], named[0][1].sorted()
    others = [(name, _as_named_by(first, reference, other, name)) for name, other in named[1:]]
    aligned = [(reference, first), *others]
    if by == "image":
        aligned = [(name, replace(one, group=one.image_id)) for name, one in aligned]
    first = aligned[0][1]
    for name, other in aligned[1:]:
        _verify_same(reference, first, name, other)
    return aligned


def _rank(measured: dict[str, Measured]) -> list[Standing]:
    names = list(measured)
    values = np.array([float(one.values[RANKED_BY]) for one in measured.values()])
    drawn = np.stack([one.drawn[RANKED_BY] for one in measured.values()], axis=1)
    order = np.argsort(-values, kind="stable")
    ranks = rankdata(-values, method="min")
    places = rankdata(-drawn, method="min", axis=1)
    low, high = (np.quantile(places, part, axis=0, method="nearest") for part in (0.025, 0.975))
    best, rest = order[0], order[1:]
    behind = simultaneous_estimates(values[best] - values[rest], drawn[:, [best]] - drawn[:, rest])
    gaps = dict(zip(rest.tolist(), behind, strict=True))
    return [
        Standing(
            name=names[index],
            score=float(values[index]),
            rank=int(ranks[index]),
            rank_low=min(int(ranks[index]), int(low[index])),
            rank_high=max(int(ranks[index]), int(high[index])),
            behind=gaps.get(index),
        )
        for index in order.tolist()
    ]


def _as_named_by(first: Predictions, reference: str, other: Predictions, name: str) -> Predictions:
    """Return the predictions of another model in the order of the first, and by its names."""
    ours, theirs = first.image_id.tolist(), other.image_id.tolist()
    match = match_names(ours, theirs)
    if len(match) < max(len(ours), len(theirs)):
        odd = sorted(set(ours) - set(match)) + sorted(set(theirs) - set(match.values()))
        raise DataError(
            f"{name}: expected the images of {reference} but {counted(len(odd), 'image')}, such as {odd[0]}, "
            f"{'is' if len(odd) == 1 else 'are'} in only one of the two. {name} names images such as "
            f"{min(theirs)}, {reference} such as {ours[0]}. Models are compared on the same images only."
        )
    return replace(other.named(match[image] for image in ours), image_id=first.image_id)


def _verify_same(reference: str, first: Predictions, name: str, other: Predictions) -> None:
    for what, a, b in zip(("diagnosis", "lesion"), first.known(reference), other.known(name), strict=True):
        if (a != b).any():
            image = first.image_id[int(np.flatnonzero(a != b)[0])]
            raise DataError(f"{name}: {image} has another {what} than in {reference}.")
