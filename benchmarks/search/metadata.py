"""What age, sex and site would add to the logits that folds already have, without training the network again.

    python benchmarks/search/metadata.py DIR RUN-PREFIX …

A logistic regression learns from one fold's logits, alone and with metadata beside them, and is scored on the
other fold, so that it has not seen what it is scored on. A prefix stands for PREFIX-fold-1 and PREFIX-fold-2.
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression

from lesionwise.data.dataset import read_dataset
from lesionwise.data.metadata import encoding_of
from lesionwise.evaluation.scores.evaluate import evaluate
from lesionwise.labels import CODES, INDEX

NAMES = ("age", "sex", "localization")
FOLDS = (1, 2)


def main(folder: str, prefixes: list[str]) -> None:
    known = read_dataset(Path(folder)).table.set_index("image_id")
    for prefix in prefixes:
        seen = {}
        for fold in FOLDS:
            table = pd.read_csv(f"{prefix}-fold-{fold}/predictions-out-of-fold.csv")
            logits = table[[f"logit_{code}" for code in CODES]].to_numpy()
            own = known.loc[table["image_id"]]
            told = encoding_of(NAMES).encode_table({name: own[name].tolist() for name in NAMES}, len(own))
            seen[fold] = (logits, told, table["y_true"].map(INDEX).to_numpy(), table["group"].to_numpy(str))
        for fold, other in (FOLDS, FOLDS[::-1]):
            for what, parts in (("image alone", slice(0, 1)), ("with metadata", slice(0, 2))):
                model = LogisticRegression(max_iter=3000)
                model.fit(np.hstack(seen[other][parts]), seen[other][2])
                prob = model.predict_proba(np.hstack(seen[fold][parts]))
                found = evaluate(seen[fold][2], prob, seen[fold][3], resamples=200)
                shown = [
                    f"{name} {found.overall[name]}" for name in ("balanced_accuracy", "accuracy", "macro_auc")
                ]
                print(
                    Path(prefix).name,
                    f"fold {fold}",
                    what,
                    *shown,
                    f"mel auc {found.per_class['mel']['auc']}",
                    sep="; ",
                )


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
