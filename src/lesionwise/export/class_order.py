"""Which output of a foreign model stands for which diagnosis? Found out from labelled pictures.

The order of the classes is in no file, and each notebook has its own. If the model is any good, one order
makes the known diagnoses far more likely than every other order does. How sure that is, is found by drawing
the lesions anew: an order that only some lesions support changes from draw to draw.

Here: the order and how sure it is, from answers. Not here: the answers (`lesionwise.predict.labelled`).

References:
    Kuhn (1955), the assignment problem, https://doi.org/10.1002/nav.3800020109
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from lesionwise.errors import BundleError
from lesionwise.evaluation.predictions import Predictions
from lesionwise.labels import CODES
from lesionwise.wording import counted, listed

LEAST_LESIONS: Final = 5
"""Lesions of each diagnosis that are needed: fewer vary too little when they are drawn anew."""

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
_TINY: Final = 1e-4  # a single picture that the model is sure about and wrong must not decide
_NOISE: Final = 1e-4  # far below any evidence: what is equal comes out at random, which counts as doubt

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class ClassOrder:
    """The order that labelled pictures support.

    Attributes:
        classes: Diagnosis codes in the order of the outputs.
        sure: Share of the draws of lesions that give the same order.
        support: For each diagnosis, the share of the draws that give it the same output.
        lesions: Number of lesions of each diagnosis.
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
        """Return it as a sentence."""
        return (
            f"The outputs stand for {', '.join(self.classes)}: {self.sure:.1%} of {_DRAWS:,} draws of "
            f"{counted(sum(self.lesions.values()), 'lesion')} give this order."
        )


def find_order(predictions: Predictions, *, seed: int = 0) -> ClassOrder:
    """Return the order of the outputs under which the known diagnoses are likeliest.

    Args:
        predictions: With truth and lesions; the columns of `y_prob` stand in the order of the outputs.
        seed: Seed of the draws.

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
    rng = np.random.default_rng(seed)
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
    """Refuse an order that another draw of lesions would change.

    Raises:
        BundleError: If less than `SURE` of the draws give it; the message names no file.
    """
    if order.sure < SURE:
        doubts = [f"{code} ({share:.0%})" for code, share in order.support.items() if share < SURE]
        raise BundleError(
            f"has an order of classes that the labelled pictures do not settle: {', '.join(order.classes)} "
            f"comes out in {order.sure:.0%} of the draws, and {SURE:.0%} are needed. In doubt: "
            f"{listed(doubts or list(order.support))}. Check how pixels are prepared, add labelled "
            f"pictures, or pass --classes. Of the usual orders of notebooks, {','.join(order.usual)} is the "
            f"likeliest, in {order.usual_sure:.0%} of the draws; pass it if the notebook has it"
        )


def _by_lesion(predictions: Predictions) -> tuple[Floats, NDArray[np.int64]]:
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


def _assign(likelihood: Floats) -> NDArray[np.int64]:
    """Return the diagnosis of each output, shape (C,)."""
    return np.asarray(linear_sum_assignment(likelihood, maximize=True)[1], np.int64)


def _likeliest_usual(likelihood: Floats) -> int:
    """Return the number of the likeliest usual order."""
    outputs = np.arange(len(CODES))
    return int(
        np.argmax([likelihood[outputs, list(map(CODES.index, order))].sum() for order in USUAL_ORDERS])
    )
