"""The forms in which other tools write predictions, brought into ours.

| tool | form |
|---|---|
| scikit-learn | `DataFrame(model.predict_proba(x), index=ids, columns=model.classes_).to_csv(file)` |
| Keras | `DataFrame(model.predict(images), index=filenames, columns=class_names).to_csv(file)` |
| timm | `inference.py --topk 0 --results-separate-col`, or `--topk 7 --include-index` too; `--classes` |
| cleanlab, FiftyOne | their arrays `pred_probs`, or softmax of `logits`, as for scikit-learn |
| ISIC challenge | `image,MEL,NV,BCC,AKIEC,BKL,DF,VASC` |

Here: finding ids and probabilities by the names of columns. Not here: whether they are probabilities
(`predictions`).
"""

import re
from collections.abc import Sequence
from typing import Final

import pandas as pd

from lesionwise.errors import DataError
from lesionwise.evaluation.scores.arguments import code_of
from lesionwise.labels import CODES

ID_COLUMNS: Final = (
    *("image_id", "image", "isic_id", "image_name", "img_id", "filename", "file_name", "filepath", "path"),
    *("file", "id", "Unnamed: 0"),
)
"""Names of the column of ids, the likeliest first; pandas writes an index without a name."""
_NUMBERED: Final = re.compile(r"(?:prob_)?(\d+)")
_PROB: Final = [f"prob_{code}" for code in CODES]


def in_our_form(table: pd.DataFrame, source: str, classes: Sequence[str] | None = None) -> pd.DataFrame:
    """Return a table of predictions with the columns `image_id` and `prob_<code>`.

    Args:
        table: As it was read; a column of ids, and a column for each diagnosis, named by its code in any case
            (`mel`, `MEL`, `prob_mel`, `melanoma`) or numbered (`prob_0`, `0`).
        classes: The diagnoses that the model knows, in the order of numbered columns. What these mean is
            never guessed. A diagnosis that is left out gets a probability of 0.

    Raises:
        DataError: If there is no column of ids, or what stands for a diagnosis is missing or ambiguous.
    """
    names = next((name for name in ID_COLUMNS if name in table), None)
    if names is None:
        raise DataError(
            f"{source}: expected a column of image ids, such as {', '.join(ID_COLUMNS[:3])} or filename, but "
            f"found {', '.join(map(str, table.columns[:8]))}."
        )
    table = table.rename(columns={names: "image_id"})
    unknown = [name for name in classes or () if code_of(name) is None]
    if unknown:
        raise DataError(f"--classes: expected codes among {', '.join(CODES)} but got {', '.join(unknown)}.")
    if set(_PROB) <= set(table):
        return table
    numbered = {
        int(found[1]): name for name in table.columns if (found := _NUMBERED.fullmatch(str(name))) is not None
    }
    if numbered and not any(code_of(name) for name in table.columns):
        return _from_numbers(table, numbered, source, classes)
    codes = {name: code_of(name) for name in table.columns}
    by_code = {code: [name for name, other in codes.items() if other == code] for code in CODES}
    named = {code_of(name) for name in classes or CODES}
    absent = [code for code in CODES if code not in named and not by_code[code]]
    table = table.assign(**{f"prob_{code}": 0.0 for code in absent})
    by_code |= {code: [f"prob_{code}"] for code in absent}
    odd = [f"{code} ({len(found)} columns)" for code, found in by_code.items() if len(found) != 1]
    if odd:
        raise DataError(
            f"{source}: expected one column of probabilities for each diagnosis (mel, MEL or prob_mel) but "
            f"found otherwise for {', '.join(odd)}. If the model knows only some of the seven, name those "
            "with --classes."
        )
    return table.rename(columns={found[0]: f"prob_{code}" for code, found in by_code.items()})


def _from_numbers(
    table: pd.DataFrame, numbered: dict[int, str], source: str, classes: Sequence[str] | None
) -> pd.DataFrame:
    order = [code_of(name) for name in classes or ()]
    if not classes or None in order or sorted(numbered) != list(range(len(set(order)))):
        raise DataError(
            f"{source}: has numbered columns of probabilities ({len(numbered)}). Say which diagnosis each is "
            f"with --classes, such as --classes {','.join(CODES)}."
        )
    values = table[[numbered[place] for place in range(len(order))]].to_numpy(float)
    ranked = [f"index_{place}" for place in range(len(order))]
    if set(ranked) <= set(table):  # the likeliest first, and beside it which class that is
        places = table[ranked].to_numpy(int).argsort(axis=1)
        values = values[pd.RangeIndex(len(values)).to_numpy()[:, None], places]
    found = dict.fromkeys(_PROB, 0.0) | {
        f"prob_{code}": values[:, place] for place, code in enumerate(order) if code
    }
    return table.drop(columns=[*numbered.values()]).assign(**found)
