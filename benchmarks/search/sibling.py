"""Whether the mean of several recipes' answers is better than the best of them, score by score, out of fold.

    python benchmarks/search/sibling.py RUNS RUNS …

RUNS is the folder of a cross-validation, or a prefix such as benchmarks/runs/search-first (see runs.md),
which stands for the folders PREFIX-fold-<k>; the images that all of them have are taken. The mean is
compared, score by score, with the one that is best by that score.
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd

from lesionwise.evaluation.compare import compare
from lesionwise.evaluation.predictions import Predictions
from lesionwise.evaluation.scores.evaluate import LOSSES, evaluate
from lesionwise.labels import CODES, INDEX

SCORES = ("balanced_accuracy", "accuracy", "macro_auc", "log_loss")


def out_of_fold(place: Path) -> pd.DataFrame:
    """Return the predictions of all folds that are there, by image."""
    kept = [place] if place.is_dir() else sorted(place.parent.glob(f"{place.name}-fold-*"))
    tables = [pd.read_csv(folder / "predictions-out-of-fold.csv") for folder in kept]
    return pd.concat(tables).set_index("image_id")


def main(places: list[Path]) -> None:
    tables = {place.name: out_of_fold(place) for place in places}
    shared = sorted(set.intersection(*(set(own.index) for own in tables.values())))
    whole = {name: own.loc[shared].reset_index() for name, own in tables.items()}
    first = next(iter(whole.values()))
    truth, group = first["y_true"].map(INDEX).to_numpy(), first["group"].to_numpy(str)
    prob = {name: own[[f"prob_{code}" for code in CODES]].to_numpy() for name, own in whole.items()}
    prob[f"mean of {len(prob)}"] = np.mean(list(prob.values()), axis=0)
    print(f"{len(truth)} images of {len(np.unique(group))} lesions")
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
        (held,) = compare([best, mean]).comparisons
        print(f"{score}: {held.name} less {held.reference} {held.differences[score]}")


if __name__ == "__main__":
    main([Path(name) for name in sys.argv[1:]])
