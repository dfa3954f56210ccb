"""Whether the mean of several recipes' answers is better than the best of them, out of fold.

    python benchmarks/sibling.py RUN-PREFIX RUN-PREFIX …

A prefix such as benchmarks/runs/search-first stands for the folders PREFIX-fold-<k>; the folds that all of
them have are taken together. The others and the mean are held against the best of them, lesion by lesion.
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd

from lesionwise.evaluation.compare import compare
from lesionwise.evaluation.evaluate import evaluate
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
    for name, own in named:
        found = evaluate(truth, own.y_prob, group)
        melanoma = found.per_class["mel"]["auc"]
        print(name, *(f"{score} {found.overall[score]}" for score in SCORES), f"mel auc {melanoma}", sep="; ")
    alone = {name: evaluate(truth, own.y_prob, group, resamples=2) for name, own in named[:-1]}
    best = max(alone, key=lambda name: alone[name].overall["balanced_accuracy"].value)
    named.sort(key=lambda pair: pair[0] != best)
    for other in compare(named):
        differences = (f"{score} {other.differences[score]}" for score in SCORES)
        print(f"{other.name} less {other.reference}", *differences, sep="; ")


if __name__ == "__main__":
    main(sys.argv[1:])
