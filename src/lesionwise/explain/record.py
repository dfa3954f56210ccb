"""`explanation.json`: the method of a run's maps, and the results of their tests."""

from dataclasses import dataclass
from typing import Final

from typing_extensions import TypedDict

from lesionwise.evaluation.scores.bootstrap import Estimate
from lesionwise.explain.pointing import Pointing
from lesionwise.files import JsonRecord

MODES: Final = ("deletion", "insertion")
"""Removing places, and restoring them."""


class Stage(TypedDict):
    """The shuffled layers, and the similarity of the maps afterwards."""

    layers: str
    similarity: Estimate


@dataclass(frozen=True)
class Explanation(JsonRecord):
    """The test results of the maps of one model on one part.

    Attributes:
        method: Method of the maps, a value of `cam.Method`.
        places: Places of a map down and across.
        view: Height and width of the model's input, in pixels.
        pointing: Maps compared with lesion masks; None if the data have no masks.
        by_diagnosis: The same for each true diagnosis with enough lesions.
        curves: Mean probability of the explained class after each step, by "<deletion|insertion>-<order>".
        gains: By "<deletion|insertion>-<order>", the advantage of the map's own order over that order.
        cascade: Similarity of the maps to those of the trained network as more layers are shuffled.
        sample: Number of images behind curves and cascade, taken at even steps.
    """

    method: str
    images: int
    lesions: int
    places: tuple[int, int]
    view: tuple[int, int]
    pointing: Pointing | None
    by_diagnosis: dict[str, Pointing]
    curves: dict[str, list[float]]
    areas: dict[str, Estimate]
    gains: dict[str, Estimate]
    cascade: list[Stage]
    sample: int


def describe_explanation(explanation: Explanation) -> list[str]:
    """Return the meaning of the numbers, in sentences for other readers."""
    return [
        *([_pointing(explanation.pointing)] if explanation.pointing else []),
        _curves(explanation),
        _cascade(explanation),
    ]


def _pointing(found: Pointing) -> str:
    ratio, own = found.ratio, found.gain
    aim = "More" if ratio.low > 1 else "Less" if ratio.high < 1 else "Not clearly more"
    centre = (
        "so most of it is aim"
        if own.value > found.ratio_of_others.value - 1 and own.low > 0
        else "so most of it comes from lesions lying in the middle, and the rest is aim"
        if own.low > 0
        else "so it cannot be distinguished from the habit of photographing lesions in the middle"
    )
    return (
        f"{aim} of the map lies on the lesion than chance would put there: {_percent(found.share)} of it on "
        f"{_percent(found.area)} of the view, a ratio of {ratio:.2f}. The map of another image reaches "
        f"{found.ratio_of_others:.2f}, {centre}. The peak is on the lesion in {_percent(found.hit_rate)} "
        f"of the images, that of another image's map in {_percent(found.hit_rate_of_others)}."
    )


def _curves(explanation: Explanation) -> str:
    sentences = []
    for mode, effect in (
        ("deletion", "Painting over what the map shows first lowers certainty"),
        ("insertion", "restoring that first raises it"),
    ):
        random, other = explanation.gains[f"{mode}-random"], explanation.gains[f"{mode}-other"]
        beyond = _more("the order of another image's map", other)
        sentences.append(f"{effect} {_more('a random order', random)}, and {beyond}")
    return f"{sentences[0]}; {sentences[1]}."


def _more(order: str, gain: Estimate) -> str:
    verdict = "more" if gain.low > 0 else "less" if gain.high < 0 else "not clearly more"
    shown = Estimate(-gain.value, -gain.high, -gain.low) if gain.high < 0 else gain
    return f"{verdict} than {order}, by {shown:.2f}"


def _cascade(explanation: Explanation) -> str:
    last = explanation.cascade[-1]["similarity"]
    verdict = (
        "the maps show what was learned"
        if last.high < HALF_ALIKE
        else "part of the maps exists without any learning, such as a bright middle"
    )
    return f"With all weights shuffled, the rank correlation of the maps is {last:.2f}: {verdict}."


HALF_ALIKE = 0.5
"""Rank correlation with the maps of an untrained network, from which maps count as alike."""


def _percent(estimate: Estimate) -> str:
    return f"{100 * estimate.value:.0f}\N{NO-BREAK SPACE}%"
