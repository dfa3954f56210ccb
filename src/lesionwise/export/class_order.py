"""The diagnosis of each output of a foreign model, found from labelled pictures.

No file states the order of the classes, and each notebook has its own. If the model is any good, one order
makes the known diagnoses far more likely than every other order. Resampling the lesions shows how certain
this is: an order that only some lesions support changes from draw to draw.

Here: the order and its certainty, from answers. Not here: the answers (`lesionwise.predict.labelled`).

References:
    Kuhn (1955), the assignment problem, https://doi.org/10.1002/nav.3800020109
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.optimize import linear_sum_assignment

from lesionwise.arrays import Floats, Integers
from lesionwise.errors import BundleError
from lesionwise.evaluation.predictions import Predictions
from lesionwise.labels import CODES
from lesionwise.wording import counted, listed

LEAST_LESIONS: Final = 5
"""Lesions of each diagnosis that are needed: fewer vary too little when they are resampled."""

SURE: Final = 0.99
"""Share of the draws that must give the same order."""

USUAL_ORDERS: Final = (
    ("akiec", "bcc", "bkl", "df", "mel", "nv", "vasc"),  # sorted by code
    ("akiec", "bcc", "bkl", "df", "nv", "mel", "vasc"),  # sorted by name
    ("akiec", "bcc", "bkl", "df", "nv", "vasc", "mel"),  # the same, where "mel" was named dermatofibroma
    ("nv", "mel", "bkl", "bcc", "akiec", "vasc", "df"),  # of the dictionary of many notebooks
    ("mel", "nv", "bcc", "akiec", "bkl", "df", "vasc"),  # of the ISIC 2018 ground truth
)
"""Orders that public notebooks have; docs/from-a-notebook.md says where from."""

_DRAWS: Final = 1000
_TINY: Final = 1e-4  # so that no single picture with a confident error decides
_NOISE: Final = 1e-4  # far below any evidence: equal evidence gives random orders, which count as doubt


@dataclass(frozen=True)
class ClassOrder:
    """The order that labelled pictures support.

    Attributes:
        classes: Diagnosis codes in the order of the outputs.
        sure: Share of the draws of lesions that give this order.
        support: Share of the draws that give a diagnosis the same output, by diagnosis.
        lesions: Number of lesions by diagnosis.
        usual: The likeliest of `USUAL_ORDERS`.
        usual_sure: Share of the draws in which no other of these is likelier.
    """

    classes: tuple[str, ...]
    sure: float
    support: dict[str, float]
    lesions: dict[str, int]
    usual: tuple[str, ...]
    usual_sure: float

    def describe(self) -> str:
        """Return the order as a sentence."""
        return (
            f"The outputs stand for {', '.join(self.classes)}: {self.sure:.1%} of {_DRAWS:,} draws of "
            f"{counted(sum(self.lesions.values()), 'lesion')} give this order."
        )


def find_order(predictions: Predictions) -> ClassOrder:
    """Return the order of the outputs that makes the known diagnoses most likely.

    Args:
        predictions: With truth and lesions; the columns of `y_prob` have the order of the outputs.

    Raises:
        BundleError: If a diagnosis has too few lesions; the message names no file.
    """
    log_prob, truth = _by_lesion(predictions)
    lesions = {code: int((truth == place).sum()) for place, code in enumerate(CODES)}
    lacking = [f"{code} ({number})" for code, number in lesions.items() if number < LEAST_LESIONS]
    if lacking:
        raise BundleError(
            f"expected at least {LEAST_LESIONS} lesions of each diagnosis to find the order of the classes, "
            f"but found too few of {listed(lacking)}. Add labelled pictures of them, or pass --classes"
        )
    each = [log_prob[truth == place] for place in range(len(CODES))]
    rng = np.random.default_rng(0)
    whole = _likelihood(each, rng)
    draws = [
        _likelihood([rows[rng.integers(0, len(rows), len(rows))] for rows in each], rng)
        for _ in range(_DRAWS)
    ]
    best, usual = _assign(whole), _likeliest_usual(whole)
    same = np.stack([_assign(likelihood) for likelihood in draws]) == best
    return ClassOrder(
        classes=tuple(CODES[code] for code in best),
        sure=float(same.all(axis=1).mean()),
        support={CODES[code]: float(same[:, output].mean()) for output, code in enumerate(best)},
        lesions=lesions,
        usual=USUAL_ORDERS[usual],
        usual_sure=float(np.mean([_likeliest_usual(likelihood) == usual for likelihood in draws])),
    )


def verify_sure(order: ClassOrder) -> None:
    """Refuse an order that another draw of lesions would change; the message names no file."""
    if order.sure < SURE:
        doubts = [f"{code} ({share:.0%})" for code, share in order.support.items() if share < SURE]
        raise BundleError(
            f"has an order of classes that the labelled pictures do not settle: {', '.join(order.classes)} "
            f"comes out in {order.sure:.0%} of the draws, and {SURE:.0%} are needed. In doubt: "
            f"{listed(doubts or list(order.support))}. Check how pixels are prepared, add labelled "
            f"pictures, or pass --classes. Of the usual orders of notebooks, {','.join(order.usual)} is the "
            f"likeliest, in {order.usual_sure:.0%} of the draws; pass it if the notebook has it"
        )


def _by_lesion(predictions: Predictions) -> tuple[Floats, Integers]:
    """Return the mean logarithm of the probabilities of each lesion (L, C), and its diagnosis (L,)."""
    truth, groups = predictions.y_true, predictions.group
    if truth is None or groups is None:
        raise ValueError("Expected predictions with truth and lesions.")
    log_prob = np.log(np.maximum(predictions.y_prob, _TINY))
    _, first, lesion = np.unique(groups, return_index=True, return_inverse=True)
    sums = np.zeros((len(first), len(CODES)))
    np.add.at(sums, lesion, log_prob)
    return sums / np.bincount(lesion)[:, None], truth[first]


def _likelihood(each: Sequence[Floats], rng: np.random.Generator) -> Floats:
    """Return how well each output fits each diagnosis, shape (C, C), from the answers (L, C) about each."""
    likelihood = np.stack([rows.mean(0) for rows in each], axis=1)
    return np.asarray(likelihood + rng.uniform(0, _NOISE, likelihood.shape))


def _assign(likelihood: Floats) -> Integers:
    """Return the diagnosis of each output, shape (C,)."""
    return np.asarray(linear_sum_assignment(likelihood, maximize=True)[1], np.int64)


def _likeliest_usual(likelihood: Floats) -> int:
    """Return the number of the likeliest usual order."""
    outputs = np.arange(len(CODES))
    return int(
        np.argmax([likelihood[outputs, list(map(CODES.index, order))].sum() for order in USUAL_ORDERS])
    )
