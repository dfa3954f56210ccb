"""The main results, in sentences for a reader who did not train the model."""

from typing import Final

import numpy as np
import pandas as pd

from lesionwise.evaluation.scores.bootstrap import Estimate
from lesionwise.evaluation.scores.evaluate import Evaluation
from lesionwise.labels import CODES, INDEX, NAMES
from lesionwise.wording import counted, listed

# The winner of ISIC 2018 Task 3, an ensemble with extra data, had a balanced accuracy of 0.885.
TOO_GOOD: Final = {"accuracy": 0.92, "balanced_accuracy": 0.89}


def main_sentences(evaluation: Evaluation, reliability: pd.DataFrame | None) -> list[str]:
    """Return what a reader should take away, most important first."""
    sentences = [_against_baseline(evaluation), _melanomas(evaluation), _extremes(evaluation)]
    if reliability is not None:
        sentences.append(_calibration(evaluation.overall["ece"], reliability))
    return sentences


def audit_sentence(evaluation: Evaluation) -> str | None:
    """Return a warning if a score is better than honest models reach on HAM10000."""
    high = [name for name, least in TOO_GOOD.items() if evaluation.overall[name].value > least]
    if not high or len(evaluation.diagnoses) < len(CODES):
        return None
    named = " and ".join(f"{name.replace('_', ' ')} {evaluation.overall[name].value:.3f}" for name in high)
    return (
        f"{named} is more than honest single models reach on HAM10000. Before believing it, look for a leak: "
        "photographs of one lesion on both sides, copies made before the split, weights that saw the images."
    )


def _against_baseline(evaluation: Evaluation) -> str:
    score, floor = evaluation.overall["balanced_accuracy"], evaluation.baseline["balanced_accuracy"]
    commonest = max(evaluation.support, key=lambda code: evaluation.support[code])
    verdict = "clearly better than" if score.low > floor else "not clearly better than"
    always = f"always answering {NAMES[commonest]} ({commonest}: {floor:.3f})"
    return (
        f"By {evaluation.title('balanced_accuracy')} it is {verdict} {always}. "
        f"That answer is right for {_percent(evaluation.baseline['accuracy'])} of these images; the model is "
        f"right for {_percent(evaluation.overall['accuracy'].value)}."
    )


def _melanomas(evaluation: Evaluation) -> str:
    if not evaluation.support["mel"]:
        return "No image shows a melanoma, so nothing is known of how many it finds."
    row = np.asarray(evaluation.confusion)[INDEX["mel"]]
    found, total = int(row[INDEX["mel"]]), int(row.sum())
    interval = _range(evaluation.per_class["mel"]["recall"])
    sentence = f"It calls {found:,} of {counted(total, 'melanoma image')} melanoma ({interval})."
    missed = {code: int(count) for code, count in zip(CODES, row, strict=True) if code != "mel" and count}
    if missed:
        worst = max(missed, key=lambda code: missed[code])
        called = f"called {NAMES[worst]} ({worst})."
        if total - found == 1:
            sentence += f" The one that was missed was {called}"
        else:
            sentence += f" Of the {total - found} missed, {counted(missed[worst], 'was', 'were')} {called}"
    return sentence


def _extremes(evaluation: Evaluation) -> str:
    present = evaluation.diagnoses
    recall = {code: evaluation.per_class[code]["recall"].value for code in present}
    best, worst = max(present, key=lambda code: recall[code]), min(present, key=lambda code: recall[code])
    sentence = f"It recognises {NAMES[best]} best ({best}, {_percent(recall[best])} of its images), "
    never = [code for code in present if recall[code] == 0]
    if len(never) > 1:
        return f"{sentence}and {listed(never)} never."
    return (
        f"{sentence}and {NAMES[worst]} worst "
        f"({worst}, {_percent(recall[worst])} of {evaluation.support[worst]})."
    )


def _calibration(ece: Estimate, reliability: pd.DataFrame) -> str:
    gap = np.average(reliability["confidence"] - reliability["accuracy"], weights=reliability["images"])
    direction = "too sure of itself" if gap > 0 else "too modest"
    if ece.low == 0:
        return f"Its stated confidence shows no error beyond chance ({_range(ece)} on average)."
    return (
        f"Its stated confidence is off by {counted(round(100 * ece.value), 'point')} on average "
        f"({_range(ece)}); on the whole it is {direction} by {100 * abs(gap):.0f}."
    )


def _percent(part: float) -> str:
    return f"{100 * part:.0f}\N{NO-BREAK SPACE}%"


def _range(estimate: Estimate) -> str:
    return f"95\N{NO-BREAK SPACE}% interval {_percent(estimate.low)} to {_percent(estimate.high)}"
