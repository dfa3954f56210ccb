"""The forms in which other tools write predictions, brought into ours.

| tool | form |
|---|---|
| scikit-learn, Keras | `DataFrame(probabilities, index=ids, columns=class_names).to_csv(file)` |
| timm | what `inference.py` writes with `--topk 0`, or with `--topk 7` and `--include-index` or labels |
| cleanlab | its array `pred_probs`, as for scikit-learn |
| FiftyOne | its CSV export of `filepath` and the `logits` of a classification |
| linear probes of foundation models | `filename,…,probability_class_0,…` |
| ISIC challenge | `image,MEL,NV,BCC,AKIEC,BKL,DF,VASC` |

Not here: whether they are probabilities (`predictions`). Letters: K classes of the model.
"""

import re
from collections.abc import Sequence
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lesionwise.arrays import Floats
from lesionwise.diagnoses import code_of
from lesionwise.errors import DataError
from lesionwise.evaluation.calibration.record import softmax
from lesionwise.labels import CODES
from lesionwise.text_tables import ID_NAMES, names_of
from lesionwise.wording import counted

_VALUE: Final = r"(?:prob(?:abilit(?:y|ies))?|logit)s?"
_NUMBERED: Final = re.compile(rf"(?:({_VALUE})_)?(?:class_)?(\d+)")
_LISTS: Final = re.compile(rf"(?:.*\.)?(?:pred_)?({_VALUE})")
_ITEM: Final = re.compile(r"""['"]([^'"]*)['"]|([^\s,]+)""")
_SORTED: Final = 5  # rows that do not all fall from left to right by chance
_PROB: Final = [f"prob_{code}" for code in CODES]


def in_our_form(table: pd.DataFrame, source: str, classes: Sequence[str] | None = None) -> pd.DataFrame:
    """Return a table of predictions with the columns `image_id` and `prob_<code>`.

    Args:
        table: As it was read: a column of ids, and the probabilities. These are a column for each diagnosis,
            named by its code in any case (`mel`, `MEL`, `prob_mel`, `melanoma`) or numbered (`prob_0`, `0`,
            `probability_class_0`), or one column of lists (`prob`, `predictions.logits`). Logits become
            probabilities by softmax.
        classes: The diagnoses that the model knows, in the order of numbers or lists. Their meaning is
            never guessed. A diagnosis that is left out gets a probability of 0.
    """
    names = names_of(table.columns)
    ids = names.get("image_id", names.get("path"))
    if ids is None:
        raise DataError(
            f"{source}: expected a column of image ids ({ID_NAMES}, or filename) but found "
            f"{', '.join(map(str, table.columns[:8]))}."
        )
    table = table.rename(columns={ids: "image_id"})
    unknown = [name for name in classes or () if code_of(name) is None]
    if unknown:
        raise DataError(f"--classes: expected codes among {', '.join(CODES)} but got {', '.join(unknown)}.")
    if set(_PROB) <= set(table):
        return table
    if not any(code_of(name) for name in table.columns):
        values = _ordered(table, source)
        if values is not None:
            return _from_order(table, values, source, classes)
    codes = {name: code_of(name) for name in table.columns}
    by_code = {code: [name for name, other in codes.items() if other == code] for code in CODES}
    named = {code_of(name) for name in classes or CODES}
    absent = [code for code in CODES if code not in named and not by_code[code]]
    table = table.assign(**{f"prob_{code}": 0.0 for code in absent})
    by_code |= {code: [f"prob_{code}"] for code in absent}
    odd = [f"{code} ({counted(len(found), 'column')})" for code, found in by_code.items() if len(found) != 1]
    if odd:
        raise DataError(
            f"{source}: expected one column of probabilities for each diagnosis (mel, MEL or prob_mel) but "
            f"found {', '.join(odd)}. If the model knows only some of the seven, name those "
            "with --classes."
        )
    return table.rename(columns={found[0]: f"prob_{code}" for code, found in by_code.items()})


def _ordered(table: pd.DataFrame, source: str) -> Floats | None:
    """Return probabilities (N, K) of numbered columns or of a column of lists, None if there are none."""
    found = [(match[1] or "", int(match[2]), name) for name, match in _matches(table, _NUMBERED)]
    kinds = sorted({kind for kind, _, _ in found})
    numbers = sorted(number for _, number, _ in found)
    if len(kinds) > 1 or numbers != list(range(len(numbers))):
        columns = ", ".join(name for _, _, name in found[:8])
        raise DataError(
            f"{source}: expected columns of probabilities of one kind, numbered from 0 without a gap, but "
            f"found {columns}. Keep one column for each class."
        )
    if found:
        values = table[[name for _, _, name in sorted(found, key=lambda each: each[1])]].to_numpy(float)
        return _probabilities(values, kinds[0])
    lists = [(match[1], name) for name, match in _matches(table, _LISTS) if table[name].dtype.kind == "O"]
    if len(lists) != 1:
        return None
    kind, name = lists[0]
    try:
        return _probabilities(np.array(_cells(table, name), float), kind)
    except ValueError as error:
        raise DataError(
            f"{source}: expected as many numbers in each row of {name} as the model has classes, such as "
            f"[0.7 0.3], but cannot read them: {error}."
        ) from error


def _matches(table: pd.DataFrame, pattern: re.Pattern[str]) -> list[tuple[str, re.Match[str]]]:
    names = [str(name) for name in table.columns]
    return [(name, match) for name in names if (match := pattern.fullmatch(name))]


def _cells(table: pd.DataFrame, name: str) -> list[list[str]]:
    """Return the texts of a column of lists, as Python or NumPy print them."""
    return [
        [found[1] or found[2] for found in _ITEM.finditer(str(cell).strip("[]()"))] for cell in table[name]
    ]


def _probabilities(values: Floats, kind: str) -> Floats:
    return softmax(values) if kind.startswith("logit") else values


def _beside(table: pd.DataFrame, name: str, width: int) -> NDArray[np.str_] | None:
    """Return what stands beside each probability, (N, K): in `index_0`, … or in one column of lists."""
    columns = [f"{name}_{place}" for place in range(width)]
    if set(columns) <= set(table):
        return table[columns].to_numpy(str)
    if name in table and table[name].dtype.kind == "O":
        rows = _cells(table, name)
        return np.array(rows) if all(len(row) == width for row in rows) else None
    return None


def _from_order(
    table: pd.DataFrame, values: Floats, source: str, classes: Sequence[str] | None
) -> pd.DataFrame:
    """Return the table with columns named by diagnosis, from values in the order of the classes."""
    width = values.shape[1]
    labels, ranks = _beside(table, "label", width), _beside(table, "index", width)
    if labels is not None and None in {code_of(name) for name in np.unique(labels)}:
        labels = None  # names of no diagnosis, as of a model whose classes were never named
    order = list(np.unique(labels)) if labels is not None else list(classes or ())
    codes = [code_of(name) for name in order]
    if not order or None in codes:
        raise DataError(
            f"{source}: has probabilities of {counted(width, 'class', 'classes')} in order, without their "
            f"names. Name their diagnoses with --classes, such as --classes {','.join(CODES)}."
        )
    if len(set(codes)) != width:
        raise DataError(
            f"{source}: expected a probability of each of {', '.join(map(str, order))} but found {width} in "
            "each row. Name the classes of the model with --classes, and write all probabilities (timm: "
            "--topk 0)."
        )
    if labels is not None:  # the likeliest first, with the name of its class
        places = np.array([[codes.index(code_of(name)) for name in row] for row in labels])
        values = np.take_along_axis(values, places.argsort(axis=1), axis=1)
    elif ranks is not None:  # the same with its number
        values = np.take_along_axis(values, ranks.astype(float).argsort(axis=1), axis=1)
    elif len(values) >= _SORTED and (np.diff(values, axis=1) <= 0).all():
        raise DataError(
            f"{source}: the probabilities of every row are in falling order, so the class of each is "
            "unknown. Write them in the order of the classes, or with the class beside each (timm: --topk "
            "0, or --include-index)."
        )
    found = {f"prob_{code}": values[:, place] for place, code in enumerate(codes)}
    return table.assign(**dict.fromkeys(_PROB, 0.0)).assign(**found)
