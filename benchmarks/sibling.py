"""Whether the mean of several recipes' answers is better than the best of them, score by score, out of fold.

    python benchmarks/sibling.py RUN-PREFIX RUN-PREFIX …

A prefix such as benchmarks/runs/search-first stands for the folders PREFIX-fold-<k>; the folds that all of
them have are taken together. The mean is held, score by score, against the one that is best by that score.
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd

from lesionwise.evaluation.compare import compare
from lesionwise.evaluation.evaluate import LOSSES, evaluate
from lesionwise.evaluation.predictions import Predictions
from lesionwise.labels import CODES, INDEX

SCORES = ("balanced_accuracy", "accuracy", "macro_auc", "log_loss")


def fold_tables(prefix: str) -> dict[str, pd.DataFrame]:
    """Return the predictions of each fold that is there, by its number."""
    place = Path(prefix)
    return {
        folder.name.rsplit("-", 1)[1]: pd.read_csv(folder / "predictions-out-of-fold.csv")
        for folder in sorted(place.parent.glob(f"{place.name}-fold-*"))
    }


def main(prefixes: list[str]) -> None:
    tables = {Path(prefix).name: fold_tables(prefix) for prefix in prefixes}
    folds = sorted(set.intersection(*(set(own) for own in tables.values())))
    whole = {
        name: pd.concat([own[fold] for fold in folds]).sort_values("image_id") for name, own in tables.items()
    }
    first = next(iter(whole.values()))
    truth, group = first["y_true"].map(INDEX).to_numpy(), first["group"].to_numpy(str)
    prob = {name: own[[f"prob_{code}" for code in CODES]].to_numpy() for name, own in whole.items()}
    prob[f"mean of {len(prob)}"] = np.mean(list(prob.values()), axis=0)
    print(f"folds {', '.join(folds)}: {len(truth)} images of {len(np.unique(group))} lesions")
    named = [
        (name, Predictions(image_id=first["image_id"].to_numpy(str), y_prob=own, y_true=truth, group=group))
        for name, own in prob.items()
    ]
    overall = {}
    for name, own in named:
        found = evaluate(truth, own.y_prob, group)
        overall[name] = found.overall
        melanoma = found.per_class["mel"]["auc"]
        print(name, *(f"{score} {found.overall[score]}" for score in SCORES), f"mel auc {melanoma}", sep="; ")
    *alone, mean = named
    for score in SCORES:
        sign = -1 if score in LOSSES else 1
        best = max(alone, key=lambda pair: sign * overall[pair[0]][score].value)
        (found,) = compare([best, mean])
        print(f"{score}: {found.name} less {found.reference} {found.differences[score]}")


if __name__ == "__main__":
    main(sys.argv[1:])
