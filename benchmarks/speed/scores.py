"""Time of all scores with their intervals.

OMP_NUM_THREADS=1 python benchmarks/speed/scores.py [METADATA.csv]

10,015 simulated predictions in HAM10000's proportions (or for its own table), 2,000 lesion resamples.
"""

import sys
from importlib.metadata import version
from time import perf_counter

import numpy as np
import pandas as pd

from lesionwise.evaluation.scores.bootstrap import RESAMPLES, resample_weights
from lesionwise.evaluation.scores.evaluate import OVERALL, PER_CLASS, evaluate
from lesionwise.labels import INDEX

ROUNDS = 3
LESIONS = {"akiec": 228, "bcc": 327, "bkl": 727, "df": 73, "mel": 614, "nv": 5403, "vasc": 98}
IMAGES = 10_015


def main() -> None:
    rng = np.random.default_rng(0)
    if len(sys.argv) > 1:
        table = pd.read_csv(sys.argv[1])
        y_true, groups = table["dx"].map(INDEX).to_numpy(), table["lesion_id"].to_numpy()
    else:
        diagnosis = np.repeat([INDEX[code] for code in LESIONS], list(LESIONS.values()))
        groups = np.concatenate(
            [np.arange(len(diagnosis)), rng.integers(len(diagnosis), size=IMAGES - len(diagnosis))]
        )
        y_true = diagnosis[groups]
    odds = np.exp(rng.normal(size=(len(y_true), 7)) + 2 * np.eye(7)[y_true])
    y_prob = odds / odds.sum(axis=1, keepdims=True)
    print(f"{len(y_true)} images, {RESAMPLES} resamples, numpy {version('numpy')}, scipy {version('scipy')}")
    for _ in range(ROUNDS):
        started = perf_counter()
        evaluate(y_true, y_prob, groups)
        print(f"evaluate, all {len(OVERALL) + 7 * len(PER_CLASS)} scores: {perf_counter() - started:.2f} s")
    for name, score in {**OVERALL, **PER_CLASS}.items():
        started = perf_counter()
        for weights in resample_weights(groups, y_true):
            score(y_true, y_prob, weights)
        print(f"| {name} | {perf_counter() - started:.2f} s |")


if __name__ == "__main__":
    main()
