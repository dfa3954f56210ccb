"""What callers hand to `evaluate`, as arrays in the one order of diagnoses; what is ambiguous is refused.

Not here: files (`lesionwise.evaluation.predictions`).
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from lesionwise.arrays import Floats, Integers
from lesionwise.diagnoses import code_of
from lesionwise.evaluation.scores.weights import check_arguments, check_probabilities
from lesionwise.labels import CODES, INDEX
from lesionwise.wording import counted


def scoring_arrays(
    y_true: ArrayLike, y_prob: ArrayLike, groups: ArrayLike, *, classes: Sequence[str] | None = None
) -> tuple[Integers, Floats, NDArray[Any]]:
    """Return truth (N,), probabilities (N, 7) and lesions (N,) in the order of `lesionwise.labels.CODES`.

    Args:
        y_prob: Probabilities: an array with columns in the order of `classes`, or a DataFrame with names.
        classes: Codes; all seven in our order if left out.
    """
    order = _order(classes)
    _verify_same_rows({"y_true": y_true, "y_prob": y_prob, "groups": groups})
    given = _columns(y_prob, order, ordered=classes is not None)
    if given.ndim != 2 or given.shape[1] != len(order):  # noqa: PLR2004 (images and classes)
        raise ValueError(
            f"Expected y_prob of shape (N, {len(order)}), a column for each of {', '.join(order)}, but got "
            f"{given.shape}. Name the columns in their order with classes=, or pass a DataFrame."
        )
    prob = np.zeros((len(given), len(CODES)))
    prob[:, [INDEX[code] for code in order]] = given
    truth, prob = check_arguments(_indices(y_true, order), prob)
    check_probabilities(prob)
    lesions = np.asarray(groups)
    missing = int(pd.isna(lesions).sum())
    if missing:
        raise ValueError(
            f"Expected a group for each image but {counted(missing, 'is', 'are')} missing. Give an image "
            "whose lesion is unknown a group of its own, such as its id."
        )
    if lesions.shape != truth.shape:
        raise ValueError(
            f"Expected a group for each of {counted(len(truth), 'image')} but got shape {lesions.shape}."
        )
    return truth, prob, lesions


def _order(classes: Sequence[str] | None) -> list[str]:
    if classes is None:
        return list(CODES)
    order = [code_of(name) for name in classes]
    unknown = [name for name, code in zip(classes, order, strict=True) if code is None]
    if unknown or len(set(order)) < len(order):
        raise ValueError(
            f"Expected classes to hold different codes among {', '.join(CODES)} but got "
            f"{', '.join(map(str, classes))}."
        )
    return [code for code in order if code]


def _verify_same_rows(arguments: dict[str, ArrayLike]) -> None:
    """Refuse tables whose rows have different names: nobody knows which of them belong together."""
    named = {
        name: value.index for name, value in arguments.items() if isinstance(value, pd.Series | pd.DataFrame)
    }
    first = next(iter(named), None)
    for name, index in named.items():
        if first is not None and not index.equals(named[first]):
            raise ValueError(
                f"Expected {first} and {name} to have the same index, row by row, but they differ. Put one "
                "in the order of the other with .loc, or pass arrays if the rows are in the same order."
            )


def _columns(y_prob: ArrayLike, order: list[str], *, ordered: bool) -> Floats:
    """Return probabilities in this order; columns of a DataFrame are found by their names."""
    if not isinstance(y_prob, pd.DataFrame):
        return np.asarray(y_prob, float)
    names = list(y_prob.columns)
    codes = [code_of(name) for name in names]
    often = Counter(code for code in codes if code)
    twice = [code for code, count in often.items() if count > 1]
    if twice:
        alike = [str(name) for name, code in zip(names, codes, strict=True) if code == twice[0]]
        raise ValueError(f"Expected one column of {twice[0]} in y_prob but found {', '.join(alike)}.")
    if not often and ordered and len(names) == len(order):
        return y_prob.to_numpy(float)
    if set(often) != set(order):
        odd = sorted(set(order) ^ set(often))
        raise ValueError(
            f"Expected a column of y_prob for each of {', '.join(order)} (as mel, MEL or prob_mel) but "
            f"{', '.join(odd)} {'is' if len(odd) == 1 else 'are'} missing or too many among "
            f"{', '.join(map(str, names))}. If the columns have other names, give their order with classes=."
        )
    return y_prob.iloc[:, [codes.index(code) for code in order]].to_numpy(float)


def _indices(y_true: ArrayLike, order: list[str]) -> NDArray[Any]:
    """Return class indices in our order, from codes or from indices into this one."""
    values = np.asarray(y_true)
    if values.dtype.kind in "OUST" or not isinstance(values.dtype, np.dtype):
        codes = [code_of(value) for value in values.ravel()]
        if None in codes:
            odd = values.ravel()[codes.index(None)]
            raise ValueError(f"Expected y_true to hold codes among {', '.join(CODES)} but got {odd!r}.")
        return np.array([INDEX[code] for code in codes if code], np.int64).reshape(values.shape)
    if values.dtype.kind not in "iu" and not (values.dtype.kind == "f" and (values == np.rint(values)).all()):
        raise ValueError(f"Expected y_true to hold codes or whole class indices but got {values.dtype}.")
    places = values.astype(np.int64)
    if places.size and (places.min() < 0 or places.max() >= len(order)):
        raise ValueError(
            f"Expected class indices in [0, {len(order)}) but got {places.min()} to {places.max()}."
        )
    return np.array([INDEX[code] for code in order], np.int64)[places]
